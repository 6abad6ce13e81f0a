"""`samurai operations`: what became of paid work, above all where nobody knows."""

from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer

from gateway.cli_administration import AdminUrlOption, JsonOption, TokenFileOption, ask, print_json, print_table

__all__ = ["commands"]

commands = typer.Typer(help="Look at operations of unknown outcome, and settle them.", invoke_without_command=True)

_HERE = "http://127.0.0.1:8081"
_Operation = Annotated[str, typer.Argument(help="As the list, or a reply's x-samurai-operation-id, shows it.")]


@commands.callback()
def list_all(
    context: typer.Context,
    state: Annotated[Literal["unknown"], typer.Option(help="Which ones.")] = "unknown",
    admin_url: AdminUrlOption = _HERE,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List operations that may have been paid for, and nobody knows."""
    if context.invoked_subcommand is not None:
        return
    reply = ask(admin_url, token_file, "GET", f"/admin/operations?state={state}")
    if as_json:
        print_json(reply)
        return
    rows = [
        (one["begun"], one["operation"], one["key"], one["model"], call["served_by"], call["images"], call["state"])
        for one in reply["operations"]
        for call in one["calls"] or [{"served_by": None, "images": None, "state": one["state"]}]
    ]
    print_table(("BEGUN", "OPERATION", "KEY", "MODEL", "SERVED BY", "IMAGES", "CALL"), rows)


@commands.command()
def show(operation: _Operation, admin_url: AdminUrlOption = _HERE, token_file: TokenFileOption = None) -> None:
    """Show all that is known of one operation: what to look for at the vendor."""
    reply: Any = ask(admin_url, token_file, "GET", f"/admin/operations/{quote(operation, safe='')}")
    print_json(reply)


@commands.command()
def settle(
    operation: _Operation,
    billed: Annotated[float | None, typer.Option(min=0, help="What the vendor billed, in US dollars.")] = None,
    nothing: Annotated[bool, typer.Option("--nothing", help="The vendor billed nothing.")] = False,
    admin_url: AdminUrlOption = _HERE,
    token_file: TokenFileOption = None,
) -> None:
    """Say what an operation was billed; once, and noted in the audit log. Billed nothing, it may be asked for anew."""
    if (billed is None) is not nothing:
        raise typer.BadParameter("give either --billed USD or --nothing")
    body = {"billed": 0 if billed is None else billed}
    reply = ask(admin_url, token_file, "POST", f"/admin/operations/{quote(operation, safe='')}/settle", body)
    typer.echo(f"Settled {operation}: {reply['billed_usd']} USD.", err=True)
