"""The same settings with the sandbox on another port."""

from dataclasses import replace
from types import MappingProxyType
from urllib.parse import urlsplit

from gateway.domain.catalogue import Account
from gateway.settings.addresses import is_loopback
from gateway.settings.groups import AccountSettings, GoogleCredentials, Settings

__all__ = ["sandbox_address", "with_sandbox_port"]


def sandbox_address(settings: Settings) -> tuple[str, int] | None:
    """Host and port that the first account on this machine points at; None when no account does."""
    for account in settings.accounts.values():
        parts = urlsplit(account.account.base_url or "")
        if parts.hostname and parts.port and is_loopback(parts.hostname):
            return parts.hostname, parts.port
    return None


def with_sandbox_port(settings: Settings, port: int) -> Settings:
    """Every account that points at this machine, pointed at `port` of it."""
    accounts = {name: _moved(account, port) for name, account in settings.accounts.items()}
    routes = {
        name: replace(
            route,
            targets=tuple(replace(target, account=accounts[target.account.id].account) for target in route.targets),
        )
        for name, route in settings.catalogue.routes.items()
    }
    catalogue = replace(settings.catalogue, routes=MappingProxyType(routes))
    return replace(settings, accounts=MappingProxyType(accounts), catalogue=catalogue)


def _moved(settings: AccountSettings, port: int) -> AccountSettings:
    credential = settings.credential
    if isinstance(credential, GoogleCredentials) and credential.metadata is not None:
        host = credential.metadata.rpartition(":")[0]
        if is_loopback(host):
            credential = replace(credential, metadata=f"{host}:{port}")
    return replace(settings, account=_on_port(settings.account, port), credential=credential)


def _on_port(account: Account, port: int) -> Account:
    parts = urlsplit(account.base_url or "")
    if not (parts.hostname and is_loopback(parts.hostname)):
        return account
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return replace(account, base_url=parts._replace(netloc=f"{host}:{port}").geturl())
