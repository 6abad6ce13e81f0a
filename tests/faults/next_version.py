"""The gateway as a later version of it might be: `python -m tests.faults.next_version serve …`.

Every record that it writes, of an operation or of a key, has members that today's version does not know, at every
depth; the record of an operation for three images has a state of which today's version has not heard, so that only the
later one can read it; and its Redis scripts are other texts.
"""

import json
import runpy
from hashlib import sha1
from importlib import import_module
from pathlib import Path
from typing import Any

from gateway.domain.record import Record
from gateway.edges.redis_store import Script
from gateway.policies import key_fields
from gateway.policies.key_records import KeyRecord

__all__ = ["IMAGES_OF_THE_UNREADABLE", "NEWS", "NEW_LIMIT", "PROGRAM_MODULE"]

PROGRAM_MODULE = "tests.faults.next_version"
NEWS = {"of": "a later version", "many": [1, 2]}
NEW_LIMIT = {"dreams_per_minute": 5}
IMAGES_OF_THE_UNREADABLE = 3
UNHEARD_OF = "dreaming "

todays_load, todays_fields = Script.load, key_fields.fields_of


class LaterEncoder:
    """Adds to a record what only a later version knows."""

    def __init__(self, todays: Any) -> None:
        self._todays = todays

    def encode(self, record: Record) -> bytes:
        """The record as the later version keeps it."""
        told: dict[str, Any] = json.loads(self._todays.encode(record))
        for part in (told, told["job"], *told["attempts"], *told["earlier"]):
            part["news"] = NEWS
        if told["job"]["n"] == IMAGES_OF_THE_UNREADABLE:
            told["state"] = UNHEARD_OF + told["state"]
        return json.dumps(told).encode()


class LaterDecoder:
    """Reads what either version wrote."""

    def __init__(self, todays: Any) -> None:
        self._todays = todays

    def decode(self, text: bytes) -> Record:
        """The record that was kept."""
        told: dict[str, Any] = json.loads(text)
        told["state"] = told["state"].removeprefix(UNHEARD_OF)
        record: Record = self._todays.decode(json.dumps(told).encode())
        return record


def later_script(path: Path) -> Script:
    """The same script by another text, and so by another digest."""
    text = f"{todays_load(path).text.rstrip()}\n-- of a later version\n"
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def later_fields(record: KeyRecord) -> dict[str, str]:
    """A key's record with a member, and with a limit, of which today's version has not heard."""
    fields = todays_fields(record)
    limits = json.loads(fields["limits"]) | NEW_LIMIT
    return fields | {"limits": json.dumps(limits), "news": json.dumps(NEWS)}


def become_later() -> None:
    """From here on this process is the later version; whatever loads scripts or writes keys is imported after it."""
    Script.load = staticmethod(later_script)  # type: ignore[method-assign]
    key_fields.fields_of = later_fields
    journal: Any = import_module("gateway.edges.journal")
    journal._encoder, journal._decoder = LaterEncoder(journal._encoder), LaterDecoder(journal._decoder)


if __name__ == "__main__":
    become_later()
    runpy.run_module("gateway", run_name="__main__", alter_sys=True)
