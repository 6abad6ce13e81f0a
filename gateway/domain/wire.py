"""Reading what somebody else wrote: digging in JSON of any shape, dates, and the many spellings of a waiting time.

Nothing here raises on any JSON value: what is not there, or not of the kind asked for, is None, "" or ().
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from gateway.domain.exchange import LIFTED, Inline, Remote

__all__ = [
    "LONGEST_WAIT_S",
    "dig",
    "image_source",
    "objects",
    "retry_after_s",
    "text",
    "unix_seconds",
    "wait_s",
    "wait_s_in",
    "whole",
    "without",
]

LONGEST_WAIT_S = 86_400.0
"""A longer wish to wait, in seconds, is taken for a day: none of our deadlines reaches further."""

_SECONDS = re.compile(r"\d{1,18}(?:\.\d{1,18})?", re.ASCII)
_WAIT_IN_PROSE = re.compile(r"(?:resets? in ~?|try again (?:in|after) )(\d{1,9}(?:\.\d{1,9})?) ?(ms|s|m)", re.ASCII)
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0}


def dig(value: Any, *path: str | int) -> Any:
    """What lies at `path` (names of members, places in lists); None where the path breaks off."""
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def text(value: Any, *path: str | int) -> str:
    """The string at `path`, "" for anything else."""
    found = dig(value, *path)
    return found if isinstance(found, str) else ""


def whole(value: Any, *path: str | int) -> int | None:
    """The whole number, not negative, at `path`; None for anything else, true and false included."""
    found = dig(value, *path)
    return found if type(found) is int and found >= 0 else None


def objects(value: Any, *path: str | int) -> Iterator[dict[str, Any]]:
    """The JSON objects in the list at `path`, in order; whatever else is in the list is passed over."""
    found = dig(value, *path)
    return (item for item in found if isinstance(item, dict)) if isinstance(found, list) else iter(())


def without(members: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """The members whose names are not among `names`."""
    return {name: value for name, value in members.items() if name not in names}


def image_source(value: Any) -> Inline | Remote | None:
    """An image that stands in a reply as a link, a `data:` URI or a lifted marker; None for anything else."""
    if not isinstance(value, str):
        return None
    if value.startswith(("https://", "http://")):
        return Remote(value)
    return Inline(value) if value.startswith((LIFTED, "data:")) else None


def unix_seconds(value: Any) -> int | None:
    """An ISO 8601 date as whole Unix seconds, a date without a zone being read as UTC; None where it is none."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return int(seconds) if seconds >= 0 else None


def wait_s(value: Any) -> float | None:
    """A waiting time in seconds, given as a number or as `3`, `3.3` or `3.3s`; at most a day, None if no sense."""
    if isinstance(value, str):
        digits = value.strip().removesuffix("s")
        return min(float(digits), LONGEST_WAIT_S) if _SECONDS.fullmatch(digits) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(min(value, LONGEST_WAIT_S)) if value >= 0 else None


def wait_s_in(prose: str) -> float | None:
    """A waiting time told in a sentence (`resets in ~30s`, `try again after 51.84 seconds`); None if there is none."""
    found = _WAIT_IN_PROSE.search(prose)
    return min(float(found[1]) * _UNITS_S[found[2]], LONGEST_WAIT_S) if found else None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The waiting time of a reply's headers (names in lower case), in seconds; None for none and for nonsense.

    A date is measured from the reply's own `date`, so that neither our clock nor the vendor's needs to be right.
    """
    exact = wait_s(headers.get("retry-after-ms"))
    if exact is not None:
        return exact / 1000
    wish = headers.get("retry-after")
    plain = wait_s(wish)
    if plain is not None or wish is None:
        return plain
    until, now = _http_date(wish), _http_date(headers.get("date", ""))
    return None if until is None or now is None else wait_s((until - now).total_seconds())


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
