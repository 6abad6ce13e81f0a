"""Results as Markdown, and their place in a page between two markers."""

from collections.abc import Iterable

from bench.figures import shown
from bench.results import Outcome, Table, Verdict

__all__ = ["between", "of_outcome", "of_table", "of_verdicts"]

_OPEN, _CLOSE = "<!-- figures -->", "<!-- /figures -->"


def of_table(table: Table) -> str:
    """One table under its title."""
    lines = [f"**{table.title}**", "", _line(table.columns), "|---|" + "---:|" * (len(table.columns) - 1)]
    for row in table.rows:
        cells = [_cell(value) for value in row]
        lines.append(_line([*cells, *["–"] * (len(table.columns) - len(cells))]))
    return "\n".join([*lines, *("\n" + note for note in table.notes)]) + "\n"


def of_outcome(outcome: Outcome) -> str:
    """All tables of a workload, and who is missing."""
    parts = [of_table(table) for table in outcome.tables]
    parts += [f"Missing: {name}: {why}.\n" for name, why in outcome.missing.items()]
    return "\n".join(parts)


def of_verdicts(verdicts: Iterable[Verdict]) -> str:
    """Each goal's number beside the figure."""
    lines = ["| goal | what | wanted | measured | |", "|---:|---|---:|---:|---|"]
    words = {True: "met", False: "**missed**", None: "not measured"}
    ranked = sorted(verdicts, key=lambda one: one.goal)
    lines += [_line((str(one.goal), one.what, one.limit, one.figure, words[one.met])) for one in ranked]
    return "\n".join(lines) + "\n"


def between(page: str, text: str) -> str:
    """The page with `text` in place of what stood between its markers; a page without markers gets them at its end."""
    head, opened, rest = page.partition(_OPEN)
    _, closed, tail = rest.partition(_CLOSE)
    if opened and not closed:
        raise ValueError(f"the page has {_OPEN} but no {_CLOSE}")
    before = head if opened else page.rstrip("\n") + "\n\n"
    return f"{before}{_OPEN}\n{text.strip()}\n{_CLOSE}{tail if closed else chr(10)}"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(value: str | float | int | None) -> str:
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return shown(value)
