"""`samurai users`: end users of keys whose prompts were refused, and who of them is blocked."""

from typing import Annotated

import typer

from gateway.cli_administration import AdminUrlOption, JsonOption, TokenFileOption, ask, print_json, print_table

__all__ = ["commands"]

commands = typer.Typer(help="Look at refused end users, block and unblock them.", no_args_is_help=True)

_HERE = "http://127.0.0.1:8081"

_KeyId = Annotated[str, typer.Argument(help="The key's id.", metavar="KEY")]
_User = Annotated[str, typer.Argument(help="The `user` of its requests; with --hash, as `list` shows it.")]
_IsHash = Annotated[bool, typer.Option("--hash", help="USER is a hash from the list.")]


@commands.command("list")
def list_all(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to show.")] = 100,
    admin_url: AdminUrlOption = _HERE,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List blocked end users, then those whose prompts were refused in the last 30 days, the most refused first."""
    reply = ask(admin_url, token_file, "GET", f"/admin/users?limit={limit}")
    if as_json:
        print_json(reply)
        return
    rows = [
        (one["key_id"], one["user_hash"], str(one["content_refusals"]), one["blocked_since"] or "-")
        for one in reply["users"]
    ]
    print_table(("KEY", "USER HASH", "REFUSED PROMPTS", "BLOCKED SINCE"), rows)


@commands.command("block")
def block(
    key_id: _KeyId,
    user: _User,
    is_hash: _IsHash = False,
    admin_url: AdminUrlOption = _HERE,
    token_file: TokenFileOption = None,
) -> None:
    """Refuse all requests of this key for this end user."""
    ask(admin_url, token_file, "POST", "/admin/users/block", _which(key_id, user, is_hash=is_hash))
    typer.echo("Blocked.", err=True)


@commands.command("unblock")
def unblock(
    key_id: _KeyId,
    user: _User,
    is_hash: _IsHash = False,
    admin_url: AdminUrlOption = _HERE,
    token_file: TokenFileOption = None,
) -> None:
    """Serve this end user again."""
    ask(admin_url, token_file, "POST", "/admin/users/unblock", _which(key_id, user, is_hash=is_hash))
    typer.echo("Unblocked.", err=True)


def _which(key_id: str, user: str, *, is_hash: bool) -> dict[str, str]:
    return {"key_id": key_id, "user_hash" if is_hash else "user": user}
