"""The `samurai` command. Every command parses, calls one function, and knows no rules.

A group of commands lives in a module of its own (`cli_serve`, `cli_keys`, …) and is registered at the end of this
file: with a name for a group, without one for commands of the top level.
"""

import asyncio
from typing import Annotated

import typer

from gateway import (
    __version__,
    cli_audit,
    cli_doctor,
    cli_drain,
    cli_keys,
    cli_operations,
    cli_serve,
    cli_suspense,
    cli_usage,
    cli_users,
)
from gateway.cli_sandbox import end_with_parent
from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.server import PortTakenError, Sandbox, serve_sandbox
from gateway.settings.documents import schema_text

__all__ = ["commands", "main"]

commands = typer.Typer(
    name="samurai",
    help="One OpenAI-compatible endpoint in front of several image vendors.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its frames would show the values of local variables
)


@commands.command()
def sandbox(
    host: Annotated[str, typer.Option(help="Listen on this address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Listen on this port.")] = 8090,
    pace: Annotated[float, typer.Option(min=0, max=10, help="Share of the vendors' natural time.")] = 0.0,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="Without the vendors' own rate limits.")] = False,
    speak_retired: Annotated[bool, typer.Option("--speak-retired", help="Models that were shut down, too.")] = False,
    until_stdin_ends: Annotated[bool, typer.Option("--until-stdin-ends", hidden=True)] = False,
) -> None:
    """Run the four vendors on this machine, for nothing, until told to end."""
    if until_stdin_ends:
        end_with_parent()
    options = SandboxOptions(pace=pace, speak_retired=speak_retired, real_limits=not unlimited)
    try:
        asyncio.run(serve_sandbox(host, port, options, on_ready=_announce))
    except (PortTakenError, OSError) as problem:
        typer.echo(f"samurai: {problem} (--port)", err=True)
        raise typer.Exit(1) from None


def _announce(sandbox: Sandbox) -> None:
    typer.echo(f"Ready: the sandbox's vendors at {sandbox.base_url}. Ctrl-C ends it.")


@commands.command()
def schema() -> None:
    """Print the JSON Schema of the configuration."""
    typer.echo(schema_text(), nl=False)


@commands.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


commands.add_typer(cli_serve.commands)
commands.add_typer(cli_drain.commands)
commands.add_typer(cli_keys.commands, name="keys")
commands.add_typer(cli_audit.commands)
commands.add_typer(cli_usage.commands)
commands.add_typer(cli_operations.commands, name="operations")
commands.add_typer(cli_suspense.commands, name="suspense")
commands.add_typer(cli_users.commands, name="users")
commands.add_typer(cli_doctor.commands)


def main() -> None:
    """Run the command line."""
    commands()
