"""What the settings alone tell: who may call, where image links lead, and what is not obeyed yet."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from gateway.doctor.findings import Finding, Status
from gateway.settings.addresses import is_loopback
from gateway.settings.groups import ServerSettings, Settings

__all__ = ["configuration_findings"]

_LINKS = "image links"


def configuration_findings(settings: Settings) -> Iterator[Finding]:
    """One finding for the file, one for each of its warnings, then keys and addresses."""
    offered = f"{len(settings.catalogue.routes)} models, {len(settings.accounts)} accounts"
    yield Finding(Status.OK, "configuration", offered)
    for warning in settings.warnings:
        yield Finding(Status.WARNING, "configuration", warning, "change it, or live with it")
    for pending in settings.not_yet_in_force():
        yield Finding(Status.WARNING, "configuration", pending, "do not rely on it")
    yield _keys(len(settings.keys), is_administered=settings.server.admin_token is not None)
    yield _links(settings.server)


def _keys(count: int, *, is_administered: bool) -> Finding:
    if count:
        return Finding(Status.OK, "keys", f"{count} may call")
    if is_administered:
        return Finding(Status.OK, "keys", "none in the file; `samurai keys list` tells who may call")
    return Finding(Status.WARNING, "keys", "nobody may call", "`samurai keys new` makes a key and its lines")


def _links(server: ServerSettings) -> Finding:
    base = urlsplit(server.base_url)
    ours, everybody = is_loopback(base.hostname or ""), not is_loopback(server.public_host)
    if ours and everybody:
        seen = f"{server.base_url} leads clients to their own machine, though others may connect to this one"
        return Finding(Status.WARNING, _LINKS, seen, "set server.public.base_url to the address that clients see")
    if base.scheme == "http" and not ours:
        seen = f"{server.base_url} is plain http: whoever listens can read keys and fetch images"
        return Finding(Status.WARNING, _LINKS, seen, "put TLS before it, and https into server.public.base_url")
    return Finding(Status.OK, _LINKS, server.base_url)
