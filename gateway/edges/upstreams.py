"""Every word spoken to a vendor passes here: credentials, deadlines, caps, and failures turned into Faults."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import httpx2
import orjson
import pybase64
from aiohttp.abc import AbstractResolver

from gateway import __version__
from gateway.domain.catalogue import Account
from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import LIFTED, Dialect, Fault, HttpCall, HttpReply, Inline, Remote
from gateway.domain.picture import Blob
from gateway.edges.call_faults import broken_image, fault_of, lost, no_credential, unkept_image, wrong_origin
from gateway.edges.credentials import Credential, CredentialUnavailable
from gateway.edges.fetching import Fetcher
from gateway.edges.lifting import BodyRefused, lift
from gateway.edges.room import Room
from gateway.edges.shared import Shared
from gateway.edges.spool import Spool, SpoolWriter
from gateway.edges.transport import AiohttpTransport, Timeouts, WireReply, describe
from gateway.edges.turns import Turns
from gateway.policies.addresses import Allowed, Origin, Refused, is_loopback, judge_url, origin_of

__all__ = ["AccountAccess", "Timeouts", "Upstreams"]

_TEXT_BYTES = 2048
_DATA_URI = re.compile(r"data:[^,]{0,200};base64,")
_OUR_HEADERS = {
    "accept": "application/json",
    "accept-encoding": "identity",
    "user-agent": f"samurai-gateway/{__version__}",
}


@dataclass(frozen=True, slots=True)
class AccountAccess:
    """What it takes to use an account. `download_hosts` are allowed beside the dialect's own."""

    account: Account
    credential: Credential = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeouts: Timeouts = field(default_factory=Timeouts)
    download_hosts: tuple[str, ...] = ()
    max_connections: int = 2048


@dataclass(frozen=True, slots=True)
class _Line:
    """One account's own connections: what hangs on one account holds up no other."""

    access: AccountAccess
    calls: AiohttpTransport
    fetcher: Fetcher
    downloads: AiohttpTransport


class Upstreams:
    """The vendors, as seen from the gateway. Files of lifted and fetched images lie under `spool`.

    `trace_headers` go with every call, so that a vendor's part can join the trace.
    """

    def __init__(
        self,
        accounts: Mapping[str, AccountAccess],
        spool: Path,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        resolver: AbstractResolver | None = None,
        trace_headers: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        origins = {account_id: _own_origin(access.account) for account_id, access in accounts.items()}
        self._spool = Spool(spool)
        self._clock = clock
        self._looks: Shared[HttpReply | Fault] = Shared(clock)
        self._trace_headers = trace_headers
        self._origins: dict[tuple[str, str], Origin | Refused] = {}
        self._lines: dict[str, _Line] = {}
        self._turns = Turns()
        for account_id, access in accounts.items():
            own = origins[account_id]
            calls, downloads = (_transport(access, own, resolver) for _ in range(2))
            fetcher = Fetcher(downloads, self._spool, own=own, sleep=sleep, clock=clock)
            self._lines[account_id] = _Line(access, calls, fetcher, downloads)

    async def send(
        self, account_id: str, dialect: Dialect, call: HttpCall, *, deadline_s: float, fresh_credential: bool = False
    ) -> HttpReply | Fault:
        """Make one call. `fresh_credential` after the vendor refused the last one.

        The credential goes only to the account's own origin; a call to another is refused. Blobs in the reply
        belong to the caller: collect them, then `discard` the reply.
        """
        await self._turns.turn()
        line = self._lines[account_id]
        ends_at = self._clock() + deadline_s
        origin = _origin_of(call.url)
        if isinstance(origin, Refused) or origin != self._home_of(line.access.account, dialect):
            return wrong_origin()
        secret = None if fresh_credential else line.access.credential.known()
        try:
            if secret is None:
                async with asyncio.timeout(deadline_s):
                    secret = await line.access.credential.secret(fresh=fresh_credential)
        except (CredentialUnavailable, TimeoutError) as failure:
            return no_credential(failure)
        headers = {**self._trace_headers(), **_headers(call, line.access, dialect, secret)}
        return await self._exchange(line, call, headers, line.access.timeouts.within(ends_at - self._clock()))

    async def look(self, account_id: str, dialect: Dialect, call: HttpCall, *, deadline_s: float) -> HttpReply | Fault:
        """Make a call that is free and changes nothing; all who make the same within a moment share its answer.

        Its images are not kept.
        """

        async def ask() -> HttpReply | Fault:
            reply = await self.send(account_id, dialect, call, deadline_s=deadline_s)
            if isinstance(reply, HttpReply):
                self.discard(reply)
            return reply

        return await self._looks.get((account_id, call.url), ask)

    async def collect(
        self,
        account_id: str,
        dialect: Dialect,
        source: Inline | Remote,
        reply: HttpReply,
        *,
        deadline_s: float,
    ) -> Blob | Fault:
        """The bytes of one picture of `reply`, in a file that is the caller's."""
        line = self._lines[account_id]
        if isinstance(source, Remote):
            hosts = dialect.download_hosts + line.access.download_hosts
            return await line.fetcher.fetch(source.url, hosts, deadline_s=deadline_s)
        if source.text.startswith(LIFTED):
            index = source.text.removeprefix(LIFTED)
            if index.isdecimal() and int(index) < len(reply.blobs):
                return reply.blobs[int(index)]
            return broken_image("no such lifted image")
        return await self._keep_short(source.text)

    @property
    def buffered_bytes(self) -> int:
        """Bytes of images in memory, on their way to the disk."""
        return self._spool.buffered_bytes

    @property
    def room(self) -> Room:
        """Where images are in memory, too, under the names of their files."""
        return self._spool.room

    def remove(self, blob: Blob) -> None:
        """Remove what was collected."""
        self._spool.remove((blob.path,))

    def discard(self, reply: HttpReply) -> None:
        """Remove what nobody collected from `reply`, and what was not removed after it."""
        self._spool.remove(blob.path for blob in reply.blobs)

    async def aclose(self) -> None:
        """Close all connections and remove the spooled files."""
        await self._looks.aclose()
        for line in self._lines.values():
            await line.calls.aclose()
            await line.downloads.aclose()
        await asyncio.to_thread(self._spool.close)

    async def _exchange(
        self, line: _Line, call: HttpCall, headers: dict[str, str], timeouts: Timeouts
    ) -> HttpReply | Fault:
        body = b"" if call.json is None else orjson.dumps(call.json, default=dict)
        reply: WireReply | None = None
        try:
            reply = await line.calls.exchange(call.method, call.url, headers, body, timeouts)
            reply_headers = reply.headers
            if reply_headers.get("content-encoding", "identity") != "identity":
                return lost(call, ErrorCode.UPSTREAM_BAD_RESPONSE, "compressed, which was not asked for")
            text, blobs = await lift(reply.body, self._spool, call.limit_bytes)
        except httpx2.TransportError as failure:
            return fault_of(failure, call, in_body=reply is not None)
        except BodyRefused as failure:
            return lost(call, ErrorCode.UPSTREAM_BAD_RESPONSE, f"body refused: {failure}")
        except OSError as failure:
            return lost(call, ErrorCode.ASSET_STORE_UNAVAILABLE, f"spool: {describe(failure)}")
        finally:
            if reply is not None:
                reply.body.close()
        try:
            return HttpReply(reply.status, reply_headers, orjson.loads(text), blobs=blobs)
        except orjson.JSONDecodeError:
            self._spool.remove(blob.path for blob in blobs)
            return HttpReply(reply.status, reply_headers, text=text[:_TEXT_BYTES].decode("utf-8", "replace"))

    async def _keep_short(self, text: str) -> Blob | Fault:
        prefix = _DATA_URI.match(text)
        encoded = text[prefix.end() :] if prefix else text
        writer = SpoolWriter(self._spool)
        try:
            image = pybase64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
            writer.open()
            writer.add(image)
            blob = writer.close()
            await writer.flush()
            return writer.told(blob)
        except ValueError:
            return broken_image("an image is not base64")
        except OSError as failure:
            writer.discard()
            return unkept_image(f"spool: {describe(failure)}")

    def _home_of(self, account: Account, dialect: Dialect) -> Origin | Refused:
        """Where this account is spoken to: its base URL, or else where the dialect's own free call goes."""
        key = (account.id, dialect.name)
        if key not in self._origins:
            self._origins[key] = origin_of(account.base_url or dialect.probe_for(account).url)
        return self._origins[key]


@lru_cache(maxsize=256)  # the same few addresses, and polls of the same prediction: their links are all different
def _origin_of(url: str) -> Origin | Refused:
    return origin_of(url)


def _headers(call: HttpCall, access: AccountAccess, dialect: Dialect, secret: str) -> dict[str, str]:
    name, form = dialect.credential_header
    headers = dict(_OUR_HEADERS)
    if call.json is not None:
        headers["content-type"] = "application/json"
    for more in (call.headers, access.headers):
        headers.update((key.lower(), value) for key, value in more.items())
    headers[name.lower()] = form.format(secret)
    return headers


def _own_origin(account: Account) -> Origin | None:
    """The origin of a configured base URL; None for the vendor's own. Raises ValueError for one not to be used."""
    if account.base_url is None:
        return None
    origin = origin_of(account.base_url)
    match origin if isinstance(origin, Refused) else judge_url(account.base_url, (), origin):
        case Refused(reason):
            raise ValueError(f"account {account.id}: base_url: {reason}")
        case Allowed(origin):
            return origin


def _transport(access: AccountAccess, own: Origin | None, resolver: AbstractResolver | None) -> AiohttpTransport:
    return AiohttpTransport(
        loopback_allowed=own is not None and is_loopback(own.host),
        max_connections=access.max_connections,
        resolver=resolver,
    )
