"""What an examination has found: one frozen value a line of the report."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Status", "has_failed"]


class Status(StrEnum):
    """How it stands. A note is worth knowing, a warning works though hardly as meant, a failure does not work."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, what was seen, and what to do about it (empty where nothing is to do)."""

    status: Status
    subject: str
    seen: str
    advice: str = ""


def has_failed(findings: Iterable[Finding]) -> bool:
    """Whether anything does not work."""
    return any(finding.status is Status.FAILED for finding in findings)
