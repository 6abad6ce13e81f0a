"""`samurai serve`: the gateway, with or without the sandbox's vendors beside it."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import app
from gateway.cli_sandbox import DEMO_KEY, SandboxFailed, sandbox_beside
from gateway.cli_settings import ConfigOption, load_anew, settings_from
from gateway.edges.embedded_valkey import EmbeddedError
from gateway.edges.redis_policy import NotAdmitted
from gateway.journaling import spool_beside
from gateway.policies.key_format import digest
from gateway.replicas import Fleet, Replica, supervise
from gateway.server import CannotListen
from gateway.settings.groups import Settings
from gateway.settings.moving import sandbox_address, with_sandbox_port

__all__ = ["commands"]

commands = typer.Typer()

_Port = typer.Option(min=0, max=65535, help="Listen on this port instead of the configuration's.", metavar="N")
_SandboxPort = typer.Option(min=1, max=65535, help="Where the sandbox listens, and the accounts point.", metavar="N")
_Replicas = typer.Option(
    min=1, max=64, help="So many processes on one public port; their second ports follow one another.", metavar="N"
)


@dataclass(frozen=True, slots=True)
class _Wishes:
    """The options of the command: what is said beside the file, and applied whenever the file is read."""

    config: ConfigOption
    host: Annotated[str | None, typer.Option(help="Listen on this address, with both ports.")] = None
    public_port: Annotated[int | None, _Port] = None
    admin_port: Annotated[int | None, _Port] = None
    with_sandbox: Annotated[bool, typer.Option("--with-sandbox", help="Start the sandbox's vendors, too.")] = False
    sandbox_port: Annotated[int | None, _SandboxPort] = None
    replicas: Annotated[int, _Replicas] = 1

    def applied(self, settings: Settings) -> Settings:
        settings = settings.listening(host=self.host, public_port=self.public_port, admin_port=self.admin_port)
        if self.sandbox_port is not None:
            settings = with_sandbox_port(settings, self.sandbox_port)
        replica = Replica.here()
        return settings if replica is None else replica.fitted(settings)

    def read(self) -> Settings:
        """The file as it is now. Raises SettingsError."""
        return self.applied(load_anew(self.config))

    def one_replica(self, public_port: int, admin_port: int) -> tuple[str, ...]:
        """The command line of one replica."""
        words = [sys.executable, "-m", "gateway", "serve", "--config", str(self.config)]
        words += ["--public-port", str(public_port), "--admin-port", str(admin_port)]
        words += [] if self.host is None else ["--host", self.host]
        words += [] if self.sandbox_port is None else ["--sandbox-port", str(self.sandbox_port)]
        return tuple(words)


def _command(act: Callable[[_Wishes], None]) -> Callable[..., None]:
    """A command for typer, whose options are the fields of `_Wishes`."""

    @wraps(act)
    def command(**options: Any) -> None:
        act(_Wishes(**options))

    command.__signature__ = signature(_Wishes)  # type: ignore[attr-defined]  # what typer reads them from
    command.__annotations__ = dict(_Wishes.__annotations__)
    return command


@commands.command()
@_command
def serve(wishes: _Wishes) -> None:
    """Run the gateway until it is told to end."""
    config, replicas = wishes.config, wishes.replicas
    settings = wishes.applied(settings_from(config))
    if settings.server.admin_port and 0 <= settings.server.public_port - settings.server.admin_port < replicas:
        raise typer.BadParameter("--public-port and --admin-port must differ, with --replicas all that follow, too")
    if Replica.here() is None:
        for warning in (*settings.warnings, *settings.not_yet_in_force()):
            typer.echo(f"{config}: {warning}", err=True)
    state = None if wishes.with_sandbox else _state_of(settings)
    try:
        with ExitStack() as stack:
            if wishes.with_sandbox:
                stack.enter_context(sandbox_beside(*_sandbox_of(settings)))
            if replicas > 1:
                raise typer.Exit(supervise(Fleet(settings, replicas, wishes.one_replica, state)))
            app.serve(settings, announce, app.Start(config, wishes.read, state, shared=Replica.here() is not None))
    except (SandboxFailed, CannotListen, EmbeddedError, NotAdmitted, OSError, ValueError) as problem:
        typer.echo(f"samurai: {problem}", err=True)
        raise typer.Exit(1) from None


def announce(settings: Settings, public: str, second: str) -> None:
    """Tell a person that the gateway is ready, and, where the demo key works, how to make a first image."""
    typer.echo(f"Ready: {public}/v1 for clients, {second} for health and metrics. Ctrl-C ends it.")
    replica = Replica.here()
    if replica is not None:
        replica.say_ready()
    if replica is not None or digest(DEMO_KEY) not in settings.callers:
        return
    typer.echo(f"""
Demo key, good for the sandbox alone: {DEMO_KEY}

curl {public}/v1/images/generations -H 'Authorization: Bearer {DEMO_KEY}' \\
  -H 'Content-Type: application/json' -d '{{"model": "flux-schnell", "prompt": "a samurai at a gate"}}'

from openai import OpenAI
client = OpenAI(base_url="{public}/v1", api_key="{DEMO_KEY}")
print(client.images.generate(model="flux-schnell", prompt="a samurai at a gate").data[0].url)
""")


def _sandbox_of(settings: Settings) -> tuple[str, int]:
    address = sandbox_address(settings)
    if address is None:
        raise typer.BadParameter("--with-sandbox needs an account whose base_url is on this machine")
    return address


def _state_of(settings: Settings) -> Path:
    """Where an embedded Valkey keeps its data: beside the images, so that one volume holds all there is.

    With an object store it is beside the journal, which has to be on a disk that stays, too.
    """
    directory = settings.store.directory or spool_beside(settings)
    return directory.parent / "valkey"
