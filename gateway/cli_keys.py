"""`samurai keys`: makes the keys that callers hold, for the file or in a running gateway."""

from secrets import token_bytes
from typing import Annotated, Any

import typer
from msgspec import ValidationError, convert

from gateway.cli_administration import (
    AdminUrlOption,
    JsonOption,
    TokenFileOption,
    ask,
    members_of,
    print_json,
    print_table,
)
from gateway.policies.key_format import RANDOM_BYTES, digest, new_key
from gateway.settings.kinds import Name

__all__ = ["commands"]

commands = typer.Typer(help="Make keys for callers, and look after them.", no_args_is_help=True)

_HERE = "http://127.0.0.1:8081"


def _name(text: str | None) -> str | None:
    try:
        return convert(text, Name | None)
    except ValidationError:
        raise typer.BadParameter("at most 64 letters, digits, dots, dashes and underscores") from None


_KeyId = Annotated[str, typer.Argument(callback=_name, help="The key's id.", metavar="ID")]
_NewId = Annotated[str | None, typer.Option("--id", callback=_name, help="The key's name in reports.")]
_Members = Annotated[
    list[str] | None,
    typer.Argument(
        help="tenant=acme models=flux-schnell,dall-e-3 limits.images_per_minute=60 budget.per_day=10 priority=7 "
        "metadata.team=web expires_at=+720h; null takes away.",
        metavar="[NAME=VALUE]...",
    ),
]
_Overlap = Annotated[str, typer.Option(help="How long the old secret goes on working.", metavar="DURATION")]


@commands.callback()
def _keys() -> None:
    """Make keys for callers, and look after them."""


@commands.command("new")
def new(
    key_id: _NewId = None,
    tenant: Annotated[str | None, typer.Option(callback=_name, help="One of the configuration's tenants.")] = None,
) -> None:
    """Print a new key, once, and the lines that make the gateway accept it from its file."""
    key = new_key(token_bytes(RANDOM_BYTES))
    hashed = digest(key)
    typer.echo(key)
    typer.echo("\n# The key above is shown only now. Put these lines under `keys:` in the configuration:")
    typer.echo(f"  - id: {key_id or f'key-{hashed[:8]}'}")
    typer.echo(f'    sha256: "{hashed}"')
    if tenant is not None:
        typer.echo(f"    tenant: {tenant}")


@commands.command("create")
def create(
    members: _Members = None,
    key_id: _NewId = None,
    admin_url: AdminUrlOption = _HERE,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key in a running gateway, and print it, once."""
    body = members_of(members or ()) | ({} if key_id is None else {"id": key_id})
    _show_secret(ask(admin_url, token_file, "POST", "/admin/keys", body), as_json=as_json)


@commands.command("list")
def list_all(
    admin_url: AdminUrlOption = _HERE, token_file: TokenFileOption = None, as_json: JsonOption = False
) -> None:
    """List all keys, those of the file and those of Redis."""
    reply = ask(admin_url, token_file, "GET", "/admin/keys")
    if as_json:
        print_json(reply)
        return
    rows = [
        (
            str(key["id"]),
            str(key["state"]),
            key["tenant"] or "-",
            ",".join(key["models"]),
            _spelt(key["limits"]),
            _spelt(key["budget"]),
            key["expires_at"] or "-",
            str(key["source"]),
        )
        for key in reply["keys"]
    ]
    print_table(("ID", "STATE", "TENANT", "MODELS", "LIMITS", "BUDGET", "EXPIRES", "SOURCE"), rows)


@commands.command("show")
def show(
    key_id: _KeyId, admin_url: AdminUrlOption = _HERE, token_file: TokenFileOption = None, as_json: JsonOption = False
) -> None:
    """Show one key."""
    _show_key(ask(admin_url, token_file, "GET", f"/admin/keys/{key_id}"), as_json=as_json)


@commands.command("rotate")
def rotate(
    key_id: _KeyId,
    overlap: _Overlap = "24h",
    admin_url: AdminUrlOption = _HERE,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a key a new secret, and print it, once."""
    reply = ask(admin_url, token_file, "POST", f"/admin/keys/{key_id}/rotate", {"overlap": overlap})
    _show_secret(reply, as_json=as_json)


@commands.command("update")
def update(
    key_id: _KeyId,
    members: _Members = None,
    admin_url: AdminUrlOption = _HERE,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what is named of a key, and leave the rest."""
    if not members:
        raise typer.BadParameter("nothing to change: give at least one NAME=VALUE")
    _show_key(ask(admin_url, token_file, "PATCH", f"/admin/keys/{key_id}", members_of(members)), as_json=as_json)


@commands.command("disable")
def disable(
    key_id: _KeyId, admin_url: AdminUrlOption = _HERE, token_file: TokenFileOption = None, as_json: JsonOption = False
) -> None:
    """Refuse a key until it is enabled again."""
    _show_key(ask(admin_url, token_file, "POST", f"/admin/keys/{key_id}/disable"), as_json=as_json)


@commands.command("enable")
def enable(
    key_id: _KeyId, admin_url: AdminUrlOption = _HERE, token_file: TokenFileOption = None, as_json: JsonOption = False
) -> None:
    """Accept a disabled key again."""
    _show_key(ask(admin_url, token_file, "POST", f"/admin/keys/{key_id}/enable"), as_json=as_json)


@commands.command("delete")
def delete(key_id: _KeyId, admin_url: AdminUrlOption = _HERE, token_file: TokenFileOption = None) -> None:
    """End a key for good."""
    ask(admin_url, token_file, "DELETE", f"/admin/keys/{key_id}")
    typer.echo(f"Deleted {key_id}.", err=True)


def _show_secret(reply: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(reply)
        return
    typer.echo(reply["secret"])
    typer.echo("\nThe key above is shown only now.", err=True)


def _show_key(key: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(key)
        return
    for name, value in key.items():
        if name == "secrets":
            shown = ", ".join(f"{one['fingerprint']}… until {one['not_after'] or 'the key ends'}" for one in value)
        else:
            shown = _spelt(value) if isinstance(value, dict) else ",".join(value) if name == "models" else str(value)
        typer.echo(f"{name:<11} {'-' if value is None else shown}")


def _spelt(members: dict[str, Any], before: str = "") -> str:
    """Members that are set, with dots for those further down."""
    words = [
        _spelt(value, f"{before}{name}.") if isinstance(value, dict) else f"{before}{name}={value}"
        for name, value in members.items()
        if value is not None
    ]
    return " ".join(word for word in words if word != "-") or "-"
