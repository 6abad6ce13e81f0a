"""`samurai audit`: who did what to which key, read from a running gateway."""

from typing import Annotated, Any

import orjson
import typer

from gateway.cli_administration import AdminUrlOption, JsonOption, TokenFileOption, ask, print_table

__all__ = ["commands"]

commands = typer.Typer()

_PAGE = 1000  # the most that administration hands out at once


@commands.command()
def audit(
    since: Annotated[str, typer.Option(help="Entries after this id, or from this moment (ISO 8601).")] = "0",
    admin_url: AdminUrlOption = "http://127.0.0.1:8081",
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the log of all changes of keys: a table, or a JSON line for each with --json."""
    entries: list[dict[str, Any]] = []
    place: str | None = since
    while place is not None:
        page = ask(admin_url, token_file, "GET", f"/admin/audit?limit={_PAGE}&since={place.replace('+', '%2B')}")
        entries += page["entries"]
        place = page["next"] if len(page["entries"]) == _PAGE else None
    if as_json:
        for entry in entries:
            typer.echo(orjson.dumps(entry).decode())
        return
    rows = [
        (entry["at"], entry["who"], entry["address"], entry["action"], entry["key_id"], _difference(entry))
        for entry in entries
    ]
    print_table(("AT", "WHO", "FROM", "ACTION", "KEY", "CHANGED"), rows)


def _difference(entry: dict[str, Any]) -> str:
    """What is not as it was, by name."""
    before, after = entry["before"], entry["after"]
    if before is None or after is None:
        return "-"
    return ", ".join(name for name in after if after[name] != before.get(name)) or "-"
