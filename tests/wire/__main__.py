"""`python -m tests.wire`: the corpus against every server, bare and behind every proxy; prints and keeps the table."""

import asyncio
import logging
from importlib.metadata import version

import structlog

from tests.processes import ROOT
from tests.wire.fronts import FRONTS, version_of
from tests.wire.matrix import CORPUS, SERVERS, Figures, figures, outcomes

PAGE = ROOT / "docs" / "wire.md"
TEXT = """# The wire matrix

{cases} ways to frame requests, from plain ones to those that hide a second request in the first, against four servers,
bare and behind two proxies:
{versions}.
`make wire` makes this page; the corpus is `tests/wire/corpus.py`.

* **kept**: exactly what has one meaning was executed, and everything was answered or closed (bare only: a proxy
  answers some cases itself).
* **hidden executed**: cases whose hidden request ran as a request of its own. Behind a proxy these are requests that
  the proxy itself read as such and forwarded with its mark, so that its access rules have seen them: both take a bare
  LF for the end of a line; HAProxy also unfolds headers, and reads on after a CONNECT that was refused.
* **past the proxy**: cases in which a request ran that the proxy had not forwarded: request smuggling.
* **next client wronged**: cases after which a plain request on a fresh connection got no answer, or another one's.

| server | proxy | kept | hidden executed | past the proxy | next client wronged |
|---|---|---|---|---|---|
{rows}

{notes}
"""


async def measure() -> list[Figures]:
    """Every combination that this machine can run."""
    measured = []
    for server in SERVERS:
        for front in (None, *(name for name in FRONTS if version_of(name) is not None)):
            measured.append(figures(server, front, await outcomes(server, front, lanes=4)))
            print(measured[-1].row(), flush=True)  # noqa: T201  # a program, not a test
    return measured


def notes(measured: list[Figures]) -> str:
    """The cases behind the figures that are not nought."""
    told = []
    for one in measured:
        for what, names in (("hidden executed", one.hidden), ("past the proxy", one.past), ("wronged", one.poisoned)):
            if names:
                told.append(f"* {one.server}, {one.front}, {what}: {', '.join(sorted(names))}")
    return "\n".join(told)


def main() -> None:
    """Measure and write."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    measured = asyncio.run(measure())
    versions = [f"{name} {version(name)}" for name in ("uvicorn", "httptools", "h11", "granian")]
    versions += [f"{name} {told}" for name in FRONTS if (told := version_of(name))]
    rows = "\n".join(one.row() for one in measured)
    PAGE.write_text(
        TEXT.format(cases=len(CORPUS), versions=", ".join(versions), rows=rows, notes=notes(measured)).rstrip() + "\n"
    )


if __name__ == "__main__":
    main()
