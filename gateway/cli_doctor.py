"""`samurai doctor`: looks at a deployment, and buys a trial image from each target when told to."""

import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli_settings import EX_CONFIG, ConfigOption
from gateway.doctor.appraisal import purchase_findings
from gateway.doctor.examination import Examination, buy, examine, scrubber_for
from gateway.doctor.findings import Finding, Status, has_failed
from gateway.doctor.purchases import Order, Purchase, orders_of
from gateway.doctor.recording import Scrubber, save
from gateway.doctor.report import json_report, lines, summary
from gateway.domain.money import dollars
from gateway.edges.world import World
from gateway.settings.faults import SettingsError
from gateway.settings.groups import Settings
from gateway.settings.loading import load
from gateway.vendors import dialects

__all__ = ["commands"]

commands = typer.Typer()

_COLOURS = {Status.OK: "green", Status.NOTE: "cyan", Status.WARNING: "yellow", Status.FAILED: "red"}
_Save = typer.Option("--save", help="With --buy: keep each reply, redacted, in this directory.", metavar="DIR")


@commands.command()
def doctor(
    config: ConfigOption,
    buy_images: Annotated[bool, typer.Option("--buy", help="Buy one image from each target, and look at it.")] = False,
    model: Annotated[str | None, typer.Option(help="With --buy: this model only.", metavar="ID")] = None,
    save_in: Annotated[Path | None, _Save] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --buy: do not ask before paying.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check the configuration and everything it leans on. Ends with 1 when something does not work."""
    if not buy_images and (model is not None or save_in is not None):
        raise typer.BadParameter("--model and --save need --buy")
    settings, today = _settings(config, as_json=as_json), datetime.now(UTC).date()
    if model is not None and model not in settings.catalogue.routes:
        raise typer.BadParameter(f"--model: the configuration has no model '{model}'")
    desk = _Desk(scrubber_for(settings), as_json=as_json)
    examination = asyncio.run(examine(settings, dialects(), today))
    desk.show(examination.findings)
    if buy_images:
        orders = _orders(settings, examination, model, desk)
        if orders and _agreed(orders, desk, asked=yes):
            purchases = asyncio.run(buy(settings, orders))
            desk.show([finding for purchase in purchases for finding in purchase_findings(purchase)])
            if save_in is not None:
                desk.show([_saved(purchases, save_in, desk.scrubber, today)])
    desk.close()
    raise typer.Exit(1 if has_failed(desk.findings) else 0)


class _Desk:
    """Where findings are laid out: printed as they come, or all at the end as JSON."""

    def __init__(self, scrubber: Scrubber, *, as_json: bool) -> None:
        self.scrubber = scrubber
        self.findings: list[Finding] = []
        self._as_json = as_json

    def show(self, findings: Sequence[Finding]) -> None:
        """Take findings, and print them unless JSON is wanted."""
        self.findings += findings
        if not self._as_json:
            for line in lines(findings, self.scrubber.text, _paint):
                typer.echo(line)

    def close(self) -> None:
        """Print what is left to print."""
        typer.echo(json_report(self.findings, self.scrubber.text) if self._as_json else f"\n{summary(self.findings)}")


def _settings(config: Path, *, as_json: bool) -> Settings:
    """The settings; every fault is a failed check, and the end with 78."""
    try:
        return load(config, os.environ, {name: dialect.vendor for name, dialect in dialects().items()})
    except SettingsError as error:
        desk = _Desk(Scrubber(()), as_json=as_json)
        desk.show([Finding(Status.FAILED, "configuration", str(fault)) for fault in error.faults])
        desk.close()
        raise typer.Exit(EX_CONFIG) from None


def _orders(settings: Settings, examination: Examination, model: str | None, desk: _Desk) -> list[Order]:
    """What can be bought; what cannot is shown."""
    orders, impossible = orders_of(settings.catalogue, dialects(), World(), model)
    desk.show([Finding(Status.FAILED, "not bought", seen, "configure another model") for seen in impossible])
    for order in orders:
        if order.account_id not in examination.usable_accounts:
            seen = f"{order.shot.target.served_by}: the account '{order.account_id}' cannot be used"
            desk.show([Finding(Status.WARNING, "not bought", seen, "heal the account first")])
    return [order for order in orders if order.account_id in examination.usable_accounts]


def _agreed(orders: Sequence[Order], desk: _Desk, *, asked: bool) -> bool:
    """Say, on stderr, what it costs at most; unless `asked` already, ask. No is the default."""
    for order in orders:
        cost = dollars(order.cost_microusd)
        typer.echo(f"  {order.route_id}: one image of {order.shot.target.served_by}, at most ${cost}", err=True)
    total = dollars(sum(order.cost_microusd for order in orders))
    typer.echo(f"{len(orders)} to buy, for at most ${total} by the price table.", err=True)
    try:
        agreed = asked or typer.confirm("Buy?", err=True)
    except typer.Abort:
        desk.show([Finding(Status.FAILED, "not bought", "nobody answered", "--yes buys without asking")])
        return False
    if not agreed:
        desk.show([Finding(Status.NOTE, "not bought", "as you wished")])
    return agreed


def _saved(purchases: Sequence[Purchase], folder: Path, scrubber: Scrubber, today: date) -> Finding:
    try:
        written = save(purchases, folder, scrubber, today)
    except OSError as problem:
        return Finding(Status.FAILED, "saved", f"{problem.strerror}: {problem.filename}", "choose another --save")
    return Finding(Status.OK, "saved", f"{len(written)} replies in {folder}", "read them before you pass them on")


def _paint(word: str, status: Status) -> str:
    plain = not sys.stdout.isatty() or bool(os.environ.get("NO_COLOR"))  # no-color.org
    return word if plain else typer.style(word, fg=_COLOURS[status])
