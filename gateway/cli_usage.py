"""`samurai usage`: what was asked for, delivered, billed and spent; by day, key, tenant, model and vendor."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from urllib.parse import quote

import typer

from gateway.cli_settings import ConfigOption, settings_from
from gateway.domain.money import dollars
from gateway.edges.redis_store import RedisStore, RedisUnavailable
from gateway.edges.usage_books import Suspended, read_books, read_suspense
from gateway.policies.usage_lines import COLUMNS, UsageRow, csv_of, objects_of, report

__all__ = ["commands"]

commands = typer.Typer()

_CALL_S = 10.0  # a person waits longer than a request
_DEFAULT_DAYS = 30
_HEADINGS = ("requests", "refused", "content refusals", "delivered", "billed", "cost USD")


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("a day, such as 2026-11-22") from None


def _by(text: str) -> tuple[str, ...]:
    columns = tuple(word.strip() for word in text.split(","))
    if unknown := set(columns) - set(COLUMNS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: not one of {', '.join(COLUMNS)}")
    return columns


@commands.command()
def usage(
    config: ConfigOption,
    first: Annotated[str | None, typer.Option("--from", help="The first day (UTC); 30 days ago by default.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last day (UTC); today by default.")] = None,
    by: Annotated[str, typer.Option(help=f"What to sum up by, of {', '.join(COLUMNS)}.")] = "day,key,model",
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with what is in suspense.")] = False,
) -> None:
    """Show what was used: billed beside delivered, what it cost, what is in suspense."""
    today = datetime.now(UTC).date()
    until = _day(last) or today
    since = _day(first) or until - timedelta(days=_DEFAULT_DAYS)
    columns = _by(by)
    url = _url_of(config)
    try:
        rows, suspended = asyncio.run(_read(url, since, until, columns))
    except RedisUnavailable as problem:
        typer.echo(f"samurai: {problem}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(_json(columns, rows, suspended))
    elif as_csv:
        typer.echo(csv_of(columns, rows), nl=False)
    else:
        typer.echo(_table(columns, rows, suspended))


def _url_of(config: ConfigOption) -> str:
    """Where the books are. A server of the gateway's own is found by its socket, while the gateway runs."""
    settings = settings_from(config)
    if not settings.redis.is_embedded:
        return settings.redis.url.reveal()
    directory = settings.store.directory
    socket = None if directory is None else directory.parent / "valkey" / "valkey.sock"
    if socket is None or not socket.exists():
        raise typer.BadParameter(
            "its Redis is embedded:// and is not running beside the images. A gateway that runs --with-sandbox has a"
            " temporary one: ask it by GET /admin/usage on its second port (server.admin.token)",
            param_hint="config",
        )
    return f"unix://{quote(str(socket))}"


async def _read(
    url: str, since: date, until: date, columns: Sequence[str]
) -> tuple[tuple[UsageRow, ...], tuple[Suspended, ...]]:
    redis = RedisStore(url, call_s=_CALL_S)
    try:
        return report(await read_books(redis, since, until), columns), await read_suspense(redis)
    finally:
        await redis.aclose()


def _json(columns: Sequence[str], rows: Sequence[UsageRow], suspended: Sequence[Suspended]) -> str:
    usage = objects_of(columns, rows)
    return json.dumps({"usage": usage, "suspense": [asdict(one) for one in suspended]}, indent=2)


def _table(columns: Sequence[str], rows: Sequence[UsageRow], suspended: Sequence[Suspended]) -> str:
    cells = [[*columns, *_HEADINGS], *([*row.group, *_figures(row)] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        names = (cell.ljust(width) for cell, width in zip(row[: len(columns)], widths, strict=False))
        figures = (cell.rjust(width) for cell, width in zip(row[len(columns) :], widths[len(columns) :], strict=True))
        lines.append("  ".join((*names, *figures)).rstrip())
    if not rows:
        lines = ["Nothing was used in these days."]
    if suspended:
        lines += ["", "In suspense (unknown: may have been billed, and stays taken; lapsed: nobody settled it):"]
        lines += [
            f"  {one.day}  {one.op_id}  {one.kind}  {dollars(one.microusd)} USD  {_owner(one)}" for one in suspended
        ]
    return "\n".join(lines)


def _figures(row: UsageRow) -> tuple[str, ...]:
    used = row.usage
    counts = (used.requests, used.refused, used.content_refusals, used.delivered, used.billed)
    return (*map(str, counts), dollars(used.cost_microusd))


def _owner(one: Suspended) -> str:
    return one.note or " ".join(one.purses)
