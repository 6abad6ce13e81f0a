"""The ways to come by a Google access token, each a blocking function: key file, federation, metadata server."""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import google.auth.aws
import google.auth.identity_pool
import google.oauth2.credentials
import google.oauth2.service_account
import httpx2
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport import Request, Response

from gateway.edges.credentials import CredentialUnavailable

__all__ = ["FetchedToken", "TokenSource", "google_source"]

# google-auth's own calls have no types.
_SERVICE_ACCOUNT: Any = google.oauth2.service_account.Credentials
_USER: Any = google.oauth2.credentials.Credentials
_AWS: Any = google.auth.aws.Credentials
_FEDERATION: Any = google.auth.identity_pool.Credentials
_TransportError: Any = TransportError

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_METADATA_HOST = "metadata.google.internal"
_METADATA_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
_METADATA_WAITS_S = (0.5, 1.0, 0.0)  # it is known to be late on a node's first seconds
_WELL_KNOWN_FILE = "application_default_credentials.json"
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class FetchedToken:
    """A token and how many seconds it has left."""

    token: str = field(repr=False)
    life_s: float


class TokenSource(Protocol):
    """Fetches a token, blocking. Raises CredentialUnavailable."""

    def __call__(self) -> FetchedToken:
        """A new token."""
        ...


def google_source(credentials: Path | None, *, metadata_host: str | None = None) -> TokenSource:
    """Where the tokens of an account come from.

    `credentials` is a key file or a federation's configuration; None is Google's own order ("adc"): the file that
    GOOGLE_APPLICATION_CREDENTIALS names, gcloud's file, the metadata server. `metadata_host` (`host:port`) stands
    for Google's own metadata server and is then asked first.
    """
    if credentials is None and metadata_host is None:
        credentials = _default_file()
    if credentials is not None:
        return _KeyFile(credentials)
    return _MetadataServer(metadata_host or _METADATA_HOST)


def _default_file() -> Path | None:
    named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if named:
        return Path(named)
    directory = Path(os.environ.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud")
    found = directory / _WELL_KNOWN_FILE
    return found if found.is_file() else None


class _KeyFile:
    """Tokens through google-auth, from whatever kind of file it is. The file is read again for each renewal."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> FetchedToken:
        try:
            held = _credentials_from(json.loads(self._path.read_text(encoding="utf-8")))
            with httpx2.Client(timeout=_TIMEOUT_S, trust_env=False) as client:
                held.refresh(_HttpxRequest(client))
        # The latter four: google-auth's way to say that a file or an answer has another shape.
        except (GoogleAuthError, OSError, ValueError, KeyError, TypeError, AttributeError) as failure:
            raise CredentialUnavailable(f"{self._path}: {type(failure).__name__}") from failure
        if not held.token or held.expiry is None:
            raise CredentialUnavailable(f"{self._path}: no token in the answer")
        # google-auth's expiry is UTC without saying so.
        return FetchedToken(held.token, (held.expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds())


def _credentials_from(info: Mapping[str, Any]) -> Any:
    kind = info.get("type")
    if kind == "service_account":
        return _SERVICE_ACCOUNT.from_service_account_info(info, scopes=_SCOPES)
    if kind == "authorized_user":
        return _USER.from_authorized_user_info(info, scopes=_SCOPES)
    if kind == "external_account":
        aws = str(info.get("subject_token_type", "")).endswith("aws4_request")
        return (_AWS if aws else _FEDERATION).from_info(info, scopes=_SCOPES)
    raise ValueError("not a service account, a federation or a user's login")


class _MetadataServer:
    """Tokens of the machine or pod we run on. Asked directly: google-auth's way there needs another HTTP library."""

    def __init__(self, host: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._url = f"http://{host}{_METADATA_PATH}"
        self._sleep = sleep

    def __call__(self) -> FetchedToken:
        why = ""
        with httpx2.Client(timeout=3.0, trust_env=False) as client:
            for wait_s in _METADATA_WAITS_S:
                try:
                    reply = client.get(self._url, headers={"Metadata-Flavor": "Google"})
                    if reply.status_code == 200:
                        found = reply.json()
                        return FetchedToken(str(found["access_token"]), float(found["expires_in"]))
                    why = f"status {reply.status_code}"
                except (httpx2.HTTPError, ValueError, KeyError, TypeError) as failure:
                    why = type(failure).__name__
                self._sleep(wait_s)
        raise CredentialUnavailable(f"metadata server: {why}")


class _HttpxRequest(Request):
    """google-auth's idea of an HTTP client, over httpx2."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: object,
    ) -> Response:
        try:
            reply = self._client.request(method, url, content=body, headers=headers, timeout=timeout or _TIMEOUT_S)
        except httpx2.HTTPError as failure:
            raise _TransportError(type(failure).__name__) from failure
        return _HttpxResponse(reply)


class _HttpxResponse(Response):
    """google-auth's idea of a reply."""

    def __init__(self, reply: httpx2.Response) -> None:
        self._reply = reply

    @property
    def status(self) -> int:
        return self._reply.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        return self._reply.headers

    @property
    def data(self) -> bytes:
        return self._reply.content
