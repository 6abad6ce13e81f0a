"""Loads a configuration file: all of it good, or all of its faults."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from msgspec import UNSET

from gateway.policies.webhook_signing import key_of
from gateway.settings.addresses import problem_with_redis
from gateway.settings.crosschecks import check, sound
from gateway.settings.faults import ConfigFault, Findings, Place, SettingsError
from gateway.settings.groups import Settings
from gateway.settings.lines import LIMIT_BYTES, compose
from gateway.settings.pending import not_yet_in_force
from gateway.settings.reading import read
from gateway.settings.references import GoogleCredentialRef, SecretRef
from gateway.settings.secrets import Secret, SecretReader
from gateway.settings.shape import Document
from gateway.settings.translating import translate

__all__ = ["load"]

_SIGNING_KEY_LENGTH = 32  # characters; half a SHA-256 in hex is the least that nobody guesses
_TOKEN_LENGTH = 16
_VERSION_DIGITS = 12


def load(path: Path, environment: Mapping[str, str], dialects: Mapping[str, str]) -> Settings:
    """The settings in the file at `path`. Raises SettingsError with every fault, each on its line.

    `environment` is where `{env: NAME}` looks. `dialects` are the known dialects, with the vendor that speaks each.
    """
    text = _text_of(path)
    document, findings = read(compose(text), Document)
    if document is UNSET:
        raise SettingsError(findings.faults)
    directory = path.resolve().parent
    check(document, dialects, findings)
    reader = SecretReader(environment, directory, findings)
    secrets = _secrets_of(document, reader)
    _check_redis(secrets, findings)
    _check_webhooks(secrets, findings)
    if findings.faults:
        raise SettingsError(findings.faults, reader.files)
    return replace(
        translate(document, secrets, directory),
        warnings=tuple(map(str, sorted(findings.warnings))),
        pending=not_yet_in_force(document, findings),
        version=sha256(text.encode()).hexdigest()[:_VERSION_DIGITS],
        files=(path, *reader.files),
    )


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(LIMIT_BYTES + 1)
    except OSError as error:
        why = (error.strerror or "unknown").lower()
        raise SettingsError([ConfigFault(0, "", f"the file cannot be read: {why}")]) from None
    if len(data) > LIMIT_BYTES:
        raise SettingsError([ConfigFault(0, "", f"the file has more than {LIMIT_BYTES} bytes")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError([ConfigFault(line, "", "not UTF-8")]) from None


def _secrets_of(document: Document, reader: SecretReader) -> dict[Place, Secret]:
    wanted: list[tuple[Place, Any, int]] = [
        (("server", "admin", "token"), document.server.admin.token, _TOKEN_LENGTH),
        (("redis", "url"), document.redis.url, 1),
        (("store", "signing_key"), document.store.signing_key, _SIGNING_KEY_LENGTH),
    ]
    for name, account in sound(document.accounts):
        place: Place = ("accounts", name)
        wanted.append(((*place, "api_key"), account.api_key, 1))
        wanted.extend(((*place, "headers", header), value, 1) for header, value in account.headers.items())
        if isinstance(account.credentials, GoogleCredentialRef):
            reader.google_file(account.credentials, (*place, "credentials"))
    for index, key in sound(document.keys):
        if key.webhook is not None:
            wanted.append((("keys", index, "webhook", "secret"), key.webhook.secret, 1))
    read_ones = {
        place: reader.read(reference, place, least)
        for place, reference, least in wanted
        if isinstance(reference, SecretRef)
    }
    return {place: secret for place, secret in read_ones.items() if secret is not None}


def _check_redis(secrets: Mapping[Place, Secret], findings: Findings) -> None:
    place = ("redis", "url")
    problem = problem_with_redis(secrets[place].reveal(), may_hold_password=True) if place in secrets else None
    if problem is not None:
        findings.fault(place, f"the secret is no address of a Redis: {problem}")


def _check_webhooks(secrets: Mapping[Place, Secret], findings: Findings) -> None:
    for place, secret in secrets.items():
        if place[-2:] == ("webhook", "secret") and key_of(secret.reveal()) is None:
            findings.fault(place, "expected a secret such as whsec_…, with 24 to 64 bytes in base64")
