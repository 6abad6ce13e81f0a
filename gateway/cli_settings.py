"""How every command gets its settings: loaded, or all faults on stderr and exit code 78."""

import os
from pathlib import Path
from typing import Annotated

import typer

from gateway.settings.faults import SettingsError
from gateway.settings.groups import Settings
from gateway.settings.loading import load
from gateway.vendors import dialects

__all__ = ["EX_CONFIG", "ConfigOption", "load_anew", "settings_from"]

EX_CONFIG = 78
"""The exit code for a broken configuration, from sysexits.h."""

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.", metavar="PATH")]


def load_anew(config: Path) -> Settings:
    """The settings in `config`. Raises SettingsError with every fault."""
    return load(config, os.environ, {name: dialect.vendor for name, dialect in dialects().items()})


def settings_from(config: Path) -> Settings:
    """The settings in `config`. Ends the program with code 78, every fault on stderr, when it cannot be used."""
    try:
        return load_anew(config)
    except SettingsError as error:
        count = len(error.faults)
        typer.echo(f"{config} has {count} fault{'s' if count > 1 else ''}:", err=True)
        for fault in error.faults:
            typer.echo(f"  {fault}", err=True)
        raise typer.Exit(EX_CONFIG) from None
