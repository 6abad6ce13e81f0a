"""How commands speak to a running gateway's administration, and how they show what it says."""

import getpass
import os
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import httpx2
import orjson
import typer
from msgspec import ValidationError, convert

from gateway.settings.kinds import Duration, duration_s

__all__ = ["AdminUrlOption", "JsonOption", "TokenFileOption", "ask", "members_of", "print_json", "print_table"]

_TOKEN_VARIABLE = "SAMURAI_ADMIN_TOKEN"  # noqa: S105  the variable's name
_PATIENCE_S = 30.0
_NOT_OF_AN_ACTOR = re.compile(r"[^A-Za-z0-9._@+-]")
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?", re.ASCII)
_NUMBERS = ("priority", "limits", "budget")
_SWITCHES = ("may_route",)

AdminUrlOption = Annotated[
    str, typer.Option("--admin-url", envvar="SAMURAI_ADMIN_URL", help="The gateway's second port.", metavar="URL")
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option("--token-file", help=f"Where the admin token is; else ${_TOKEN_VARIABLE}.", metavar="PATH"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print what the gateway answered, as JSON.")]


def ask(url: str, token_file: Path | None, method: str, path: str, body: object = None) -> Any:
    """What administration answers, None where it says nothing. Ends the program with 1 and a sentence otherwise."""
    headers = {"authorization": f"Bearer {_token(token_file)}", "x-samurai-actor": _actor()}
    content = None if body is None else orjson.dumps(body)
    try:
        # Without the environment's proxies: the token is for the gateway alone.
        with httpx2.Client(timeout=_PATIENCE_S, trust_env=False) as client:
            reply = client.request(method, url.rstrip("/") + path, headers=headers, content=content)
    except (httpx2.HTTPError, httpx2.InvalidURL) as problem:
        raise _end(f"{url} (--admin-url) does not answer: {problem}") from None
    if reply.is_success:
        return orjson.loads(reply.content) if reply.content else None
    try:
        message = str(orjson.loads(reply.content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"{url} (--admin-url) is no gateway's second port: it answered with status {reply.status_code}"
    raise _end(message)


def members_of(settings: Sequence[str]) -> dict[str, Any]:
    """`limits.burst=5 models=a,b tenant=null` as an object: dots go deeper, commas part models, null takes away.

    `expires_at=+720h` is so long from now. Raises BadParameter for what is not `name=value`.
    """
    members: dict[str, Any] = {}
    for setting in settings:
        name, is_one, text = setting.partition("=")
        *path, last = name.split(".", 1 if name.startswith("metadata.") else -1)
        if not is_one or not last:
            raise typer.BadParameter(f"'{name}' is not of the form name=value")
        inner = members
        for step in path:
            inner = inner.setdefault(step, {})
            if not isinstance(inner, dict):
                raise typer.BadParameter(f"'{step}' is given both as a whole and in parts")
        inner[last] = _value(path[0] if path else last, text)
    return members


def print_json(content: object) -> None:
    """An answer as it came, indented."""
    typer.echo(orjson.dumps(content, option=orjson.OPT_INDENT_2).decode())


def print_table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows below their names, each column as wide as its widest; a dash for what there is not."""
    table = [names, *(["-" if cell is None else str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(names))]
    for row in table:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _token(token_file: Path | None) -> str:
    try:
        token = os.environ.get(_TOKEN_VARIABLE, "") if token_file is None else token_file.read_text()
    except (OSError, UnicodeDecodeError):
        raise _end(f"{token_file} (--token-file) cannot be read") from None
    if not token.strip():
        raise _end(f"administration needs its token: set {_TOKEN_VARIABLE}, or give --token-file")
    if not token.strip().isascii():
        raise _end("the admin token is not printable ASCII")
    return token.strip()


def _actor() -> str:
    """Who is at this terminal, for the audit log."""
    try:
        return _NOT_OF_AN_ACTOR.sub("_", getpass.getuser())[:64] or "cli"
    except (OSError, KeyError):
        return "cli"


def _value(name: str, text: str) -> Any:
    if text == "null":
        return None
    if name == "models":
        return text.split(",")
    if name == "expires_at":
        return _moment(text)
    if name in _SWITCHES and text in ("true", "false"):
        return text == "true"
    if name in _NUMBERS and _NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    return text


def _moment(text: str) -> str:
    if not text.startswith("+"):
        return text
    try:
        wait = duration_s(convert(text[1:], Duration))
        return (datetime.now(UTC) + timedelta(seconds=wait)).isoformat(timespec="seconds")
    except (ValidationError, OverflowError):
        raise typer.BadParameter("expires_at takes a moment in ISO 8601, or +720h for a time from now") from None


def _end(sentence: str) -> typer.Exit:
    typer.echo(f"samurai: {sentence}", err=True)
    return typer.Exit(1)
