"""`samurai suspense`: what may have cost money, and nobody knows, until somebody has looked at the vendor's bill."""

from typing import Annotated
from urllib.parse import quote

import typer

from gateway.cli_administration import AdminUrlOption, JsonOption, TokenFileOption, ask, print_json, print_table

__all__ = ["commands"]

commands = typer.Typer(help="Look at what may have been billed, and settle it.", no_args_is_help=True)

_HERE = "http://127.0.0.1:8081"


@commands.command("list")
def list_all(
    admin_url: AdminUrlOption = _HERE, token_file: TokenFileOption = None, as_json: JsonOption = False
) -> None:
    """List operations in suspense. unknown: the money stays taken; lapsed: whoever reserved it is gone, it is free."""
    reply = ask(admin_url, token_file, "GET", "/admin/suspense")
    if as_json:
        print_json(reply)
        return
    rows = [
        (one["day"], one["operation"], one["kind"], one["cost_usd"], one["note"] or " ".join(one["purses"]))
        for one in reply["suspense"]
    ]
    print_table(("DAY", "OPERATION", "KIND", "USD", "WHOSE"), rows)


@commands.command("settle")
def settle(
    operation: Annotated[str, typer.Argument(help="As the list shows it.")],
    billed: Annotated[float | None, typer.Option(min=0, help="What the vendor billed, in US dollars.")] = None,
    nothing: Annotated[bool, typer.Option("--nothing", help="The vendor billed nothing.")] = False,
    admin_url: AdminUrlOption = _HERE,
    token_file: TokenFileOption = None,
) -> None:
    """Book what an operation cost, or free its money; once, and noted in the audit log."""
    if (billed is None) is not nothing:
        raise typer.BadParameter("give either --billed USD or --nothing")
    body = {"billed": 0 if billed is None else billed}
    reply = ask(admin_url, token_file, "POST", f"/admin/suspense/{quote(operation, safe='')}", body)
    typer.echo(f"Settled {operation}: {reply['billed_usd']} of at most {reply['cost_usd']} USD.", err=True)
