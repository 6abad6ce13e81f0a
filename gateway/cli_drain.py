"""`samurai drain`: what a container's preStop hook calls before the gateway is told to end."""

import threading
from collections import deque
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli_settings import ConfigOption
from gateway.edges.drain_socket import DrainReport, ask_to_drain, sockets_of

__all__ = ["EX_TEMPFAIL", "commands"]

EX_TEMPFAIL = 75
"""The exit code where work was left at the deadline, from sysexits.h."""

_WAIT_S = 86_400.0  # a gateway ends its reports by itself, at its own deadline

commands = typer.Typer()


@commands.command()
def drain(
    config: ConfigOption,
    pid: Annotated[int | None, typer.Option(min=1, help="Only the gateway with this process id.", metavar="N")] = None,
) -> None:
    """Have the gateways of CONFIG on this host leave the balancing, and wait until they have nothing in flight.

    They go on listening, and end at once when they are told to (SIGTERM). Exit codes: 0 drained, 1 no gateway runs
    with this configuration or one ended meanwhile, 75 work was left at server.drain.deadline.
    """
    try:
        sockets = {number: path for number, path in sockets_of(config).items() if pid in (None, number)}
    except OSError as problem:
        typer.echo(f"samurai: {problem}", err=True)
        raise typer.Exit(1) from None
    last = [report for report in _drained(list(sockets.values())) if report is not None]
    if not last:
        typer.echo(f"samurai: no gateway runs with {config} on this host, or it is another user's", err=True)
        raise typer.Exit(1)
    for report in last:
        typer.echo(f"gateway {report.pid}: {_words(report)}")
    if any(report.is_late for report in last):
        raise typer.Exit(EX_TEMPFAIL)
    if not all(report.is_drained for report in last):
        raise typer.Exit(1)


def _drained(sockets: list[Path]) -> list[DrainReport | None]:
    """The last word of each, waited for side by side."""
    last: list[DrainReport | None] = [None] * len(sockets)

    def follow(number: int) -> None:
        last[number] = next(iter(deque(ask_to_drain(sockets[number]), maxlen=1)), None)

    threads = [threading.Thread(target=follow, args=(number,), daemon=True) for number in range(len(sockets))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_WAIT_S)
    return last


def _words(report: DrainReport) -> str:
    if report.is_drained:
        return "drained"
    ending = "at its deadline" if report.is_late else "when it ended"
    return f"{report.in_flight} in flight {ending}"
