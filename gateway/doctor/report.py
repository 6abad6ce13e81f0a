"""Findings as a person or a program reads them."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from gateway.doctor.findings import Finding, Status, has_failed

__all__ = ["json_report", "lines", "summary"]

_STATUS_WIDTH = max(len(status) for status in Status) + 2
_SUBJECT_WIDTH = 24

Paint = Callable[[str, Status], str]


def lines(findings: Iterable[Finding], scrub: Callable[[str], str], paint: Paint) -> Iterator[str]:
    """One line for each finding. `scrub` hides secrets; `paint` colours a word by its status."""
    for finding in findings:
        status = paint(f"{finding.status.value:<{_STATUS_WIDTH}}", finding.status)
        advice = f" → {finding.advice}" if finding.advice else ""
        yield f"{status}{finding.subject:<{_SUBJECT_WIDTH}}  {_printable(scrub(finding.seen))}{advice}"


def summary(findings: Sequence[Finding]) -> str:
    """How many checks there were, and how they ended."""
    counted = Counter(finding.status for finding in findings)
    found = [f"{counted[status]} {status.value}" for status in Status if counted[status]]
    return f"{len(findings)} checks: {', '.join(found)}"


def json_report(findings: Sequence[Finding], scrub: Callable[[str], str]) -> str:
    """`{"ok": …, "checks": [{status, subject, seen, advice}, …]}`."""
    checks = [
        {
            "status": finding.status.value,
            "subject": finding.subject,
            "seen": _printable(scrub(finding.seen)),
            "advice": finding.advice,
        }
        for finding in findings
    ]
    return json.dumps({"ok": not has_failed(findings), "checks": checks}, indent=1, ensure_ascii=False)


def _printable(text: str) -> str:
    """A vendor's words may hold what a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)
