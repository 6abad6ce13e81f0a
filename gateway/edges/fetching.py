"""The safe fetcher: images behind vendors' links, from allowed hosts only, without a credential, within bounds."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

import httpx2

from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Fault
from gateway.domain.picture import Blob
from gateway.edges.call_faults import broken_image, unkept_image
from gateway.edges.spool import Spool, SpoolWriter
from gateway.edges.transport import AiohttpTransport, ForbiddenAddress, Timeouts, WireReply, describe
from gateway.policies.addresses import Origin, Refused, judge_url

__all__ = ["Fetcher"]

_LIMIT_BYTES = 24_000_000  # a 2048² PNG of noise is 12 MB
_MISSING_WAITS_S = (0.25, 0.75, 1.5)  # vendors' CDNs may answer 404 for the first seconds of a link's life
_BROKEN_WAITS_S = (0.1, 0.5)
_MISSING_STATUSES = (403, 404, 410)
_PASSING_STATUSES = (408, 429, 500, 502, 503, 504)
_TIMEOUTS = Timeouts(first_byte_s=15.0)
_HEADERS = {"accept": "image/*, */*;q=0.5", "accept-encoding": "identity", "user-agent": "samurai-gateway"}


class _Kind(Enum):
    MISSING = auto()
    BROKEN = auto()
    FINAL = auto()


@dataclass(frozen=True, slots=True)
class _Failure:
    kind: _Kind
    detail: str
    code: ErrorCode = ErrorCode.UPSTREAM_BAD_RESPONSE

    def fault(self) -> Fault:
        if self.code is ErrorCode.ASSET_STORE_UNAVAILABLE:
            return unkept_image(self.detail)
        return replace(broken_image(self.detail), code=self.code)


class Fetcher:
    """Fetches links of one account's vendor.

    `own` is the account's own address, from which it may always fetch. A link not there yet is
    tried again for up to 3 s, a broken download up to twice: a GET is free.
    """

    def __init__(
        self,
        transport: AiohttpTransport,
        spool: Spool,
        *,
        own: Origin | None,
        sleep: Callable[[float], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._spool = spool
        self._own = own
        self._sleep = sleep
        self._clock = clock

    async def fetch(self, url: str, hosts: tuple[str, ...], *, deadline_s: float) -> Blob | Fault:
        """The bytes behind `url`, whatever they are. `hosts` are the names allowed, exact or `*.name`."""
        verdict = judge_url(url, hosts, self._own)
        if isinstance(verdict, Refused):
            return broken_image(f"ssrf: {verdict.reason}")
        ends_at = self._clock() + deadline_s
        waits = {_Kind.MISSING: iter(_MISSING_WAITS_S), _Kind.BROKEN: iter(_BROKEN_WAITS_S), _Kind.FINAL: iter(())}
        while True:
            result = await self._fetch_once(url, ends_at - self._clock())
            if isinstance(result, Blob):
                return result
            wait_s = next(waits[result.kind], None)
            if wait_s is None or self._clock() + wait_s >= ends_at:
                return result.fault()
            await self._sleep(wait_s)

    async def _fetch_once(self, url: str, left_s: float) -> Blob | _Failure:
        try:
            reply = await self._transport.exchange("GET", url, _HEADERS, b"", _TIMEOUTS.within(left_s))
            try:
                return _objection(reply) or await self._keep(reply)
            finally:
                reply.body.close()
        except ForbiddenAddress as failure:
            return _Failure(_Kind.FINAL, f"ssrf: {failure.reason}")
        except httpx2.TransportError as failure:
            late = isinstance(failure, httpx2.TimeoutException)
            code = ErrorCode.UPSTREAM_TIMEOUT if late else ErrorCode.UPSTREAM_BAD_RESPONSE
            return _Failure(_Kind.BROKEN, f"download: {describe(failure)}", code)
        except OSError as failure:
            return _Failure(_Kind.FINAL, f"spool: {describe(failure)}", ErrorCode.ASSET_STORE_UNAVAILABLE)

    async def _keep(self, reply: WireReply) -> Blob | _Failure:
        writer = SpoolWriter(self._spool)
        writer.open()
        taken = 0
        try:
            async for chunk in reply.body:
                taken += len(chunk)
                if taken > _LIMIT_BYTES:
                    break
                writer.add(chunk)
                if writer.is_full:
                    await writer.flush()
            else:
                if taken:
                    blob = writer.close()
                    await writer.flush()
                    return writer.told(blob)
        except BaseException:
            writer.discard()
            raise
        writer.discard()
        return _Failure(_Kind.FINAL, "download: too large") if taken else _Failure(_Kind.BROKEN, "download: empty")


def _objection(reply: WireReply) -> _Failure | None:
    status, headers = reply.status, reply.headers
    if status in _MISSING_STATUSES:
        return _Failure(_Kind.MISSING, f"download: status {status}")
    if status in _PASSING_STATUSES:
        return _Failure(_Kind.BROKEN, f"download: status {status}")
    if status != 200:  # a redirect too: where it leads is not where we were sent
        return _Failure(_Kind.FINAL, f"download: status {status}")
    if headers.get("content-encoding", "identity") != "identity":
        return _Failure(_Kind.FINAL, "download: compressed")
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length) > _LIMIT_BYTES:
        return _Failure(_Kind.FINAL, "download: too large")
    return None
