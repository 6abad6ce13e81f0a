"""The addresses at which vendors call back; each names the account, the operation and which of its paid calls it is."""

import re
from dataclasses import dataclass

__all__ = ["PREFIX", "Callback", "callback_at"]

PREFIX = "/v1/webhooks/"
_PATH = re.compile(
    rf"{PREFIX}(?P<account>[A-Za-z0-9][A-Za-z0-9._-]{{0,63}})/(?P<operation>op_[0-9a-f]{{24}})/(?P<number>[1-9][0-9]{{0,5}})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Callback:
    """Which paid call an address stands for."""

    account: str
    operation: str
    number: int

    def url(self, base: str) -> str:
        """The address below the public one, which has no trailing slash."""
        return f"{base}{PREFIX}{self.account}/{self.operation}/{self.number}"


def callback_at(path: str) -> Callback | None:
    """What the path of a request names; None where it is no such address."""
    found = _PATH.fullmatch(path)
    return None if found is None else Callback(found["account"], found["operation"], int(found["number"]))
