"""Administration on the second port: keys, their end users, usage, suspense and operations; every deed is written down.

It exists where `server.admin.token` is set, and for whoever holds that token.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from hmac import compare_digest

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.access import Access
from gateway.domain.errors import ErrorCode, RequestError
from gateway.edges.key_store import TooManyWritersError
from gateway.edges.redis_store import RedisUnavailable
from gateway.guard import Guard, Networks, client_address
from gateway.key_administration import KeyDesk
from gateway.operation_administration import OperationDesk
from gateway.orders import Order
from gateway.policies.attempts import FailedAttempts
from gateway.policies.key_fields import UnreadableRecordError
from gateway.policies.key_format import digest
from gateway.settings.secrets import Secret
from gateway.usage_administration import UsageDesk
from gateway.user_administration import UserDesk

__all__ = ["Desks", "Gate", "administration_app"]

_Handler = Callable[[Order], Awaitable[Response]]

_KEY = r"/admin/keys/(?P<key_id>[A-Za-z0-9][A-Za-z0-9._-]{0,63})"
_OPERATION = r"(?P<operation>[A-Za-z0-9._-]{1,128})"
_ACTOR = re.compile(r"[A-Za-z0-9._@+-]{1,64}")


@dataclass(frozen=True, slots=True)
class Gate:
    """Who may administer: the holder of `token`, None for nobody. Wrong tokens are counted by address."""

    token: Secret | None
    trusted: Networks = ()
    attempts: FailedAttempts = field(default_factory=FailedAttempts)

    def check(self, scope: Scope, authorization: str, now_s: float) -> None:
        """Raises RequestError: 404 where administration is off, 401 for a wrong token, 429 after too many of them."""
        if self.token is None:
            raise RequestError(ErrorCode.NOT_FOUND, "Administration is off: server.admin.token is not set.")
        scheme, _, rest = authorization.strip().partition(" ")
        presented = rest.strip()
        # Of the hashes, so that not even the token's length shows in the time that it takes.
        right = compare_digest(digest(presented), digest(self.token.reveal()))
        if right and scheme.lower() == "bearer":
            return
        wait_s = self.attempts.fail(client_address(scope, self.trusted), now_s)
        if wait_s > 0:
            raise RequestError(
                ErrorCode.TOO_MANY_ATTEMPTS,
                "Too many requests with wrong tokens came from this address.",
                retry_after_ms=round(wait_s * 1000) + 1,
            )
        code = ErrorCode.INVALID_API_KEY if presented else ErrorCode.MISSING_API_KEY
        raise RequestError(code, "Administration takes its own token, as `Authorization: Bearer <token>`.")


@dataclass(frozen=True, slots=True)
class Desks:
    """Who does the work, by what it is about."""

    keys: KeyDesk
    users: UserDesk
    usage: UsageDesk
    operations: OperationDesk


def administration_app(gate: Gate, desks: Desks, monotonic: Callable[[], float]) -> ASGIApp:
    """The application below /admin: every refusal in the envelope, every request in the log."""
    handlers = _routes(desks)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        gate.check(scope, request.headers.get("authorization", ""), monotonic())
        handler, parts = _found(handlers, scope)
        who, address = _actor(request), client_address(scope, gate.trusted)
        order = Order(request, parts.get("key_id", ""), who, address, parts.get("operation", ""))
        response = await _in_our_words(handler, order)
        response.headers["cache-control"] = "no-store"
        await response(scope, receive, send)

    return Access(Guard(app))


def _routes(desks: Desks) -> Mapping[re.Pattern[str], Mapping[str, _Handler]]:
    desk, users, usage, operations = desks.keys, desks.users, desks.usage, desks.operations
    return {
        re.compile(r"/admin/keys"): {"GET": desk.list, "POST": desk.create},
        re.compile(_KEY): {"GET": desk.show, "PATCH": desk.update, "DELETE": desk.delete},
        re.compile(_KEY + "/rotate"): {"POST": desk.rotate},
        re.compile(_KEY + "/disable"): {"POST": partial(desk.switch, disabled=True)},
        re.compile(_KEY + "/enable"): {"POST": partial(desk.switch, disabled=False)},
        re.compile(r"/admin/audit"): {"GET": desk.audit},
        re.compile(r"/admin/users"): {"GET": users.list},
        re.compile(r"/admin/users/block"): {"POST": partial(users.switch, blocked=True)},
        re.compile(r"/admin/users/unblock"): {"POST": partial(users.switch, blocked=False)},
        re.compile(r"/admin/usage"): {"GET": usage.usage},
        re.compile(r"/admin/operations"): {"GET": operations.list},
        re.compile(r"/admin/operations/" + _OPERATION): {"GET": operations.show},
        re.compile(r"/admin/operations/" + _OPERATION + "/settle"): {"POST": operations.settle},
        re.compile(r"/admin/suspense"): {"GET": usage.suspense},
        re.compile(r"/admin/suspense/" + _OPERATION): {"POST": usage.resolve},
    }


def _found(
    handlers: Mapping[re.Pattern[str], Mapping[str, _Handler]], scope: Scope
) -> tuple[_Handler, Mapping[str, str]]:
    for pattern, by_method in handlers.items():
        match = pattern.fullmatch(scope["path"])
        if match is None:
            continue
        scope["state"]["route"] = re.sub(r"\(.*\)", "{id}", pattern.pattern)
        handler = by_method.get(scope["method"])
        if handler is None:
            allowed = ", ".join(by_method)
            raise RequestError(ErrorCode.METHOD_NOT_ALLOWED, f"Use {allowed} here.", headers={"allow": allowed})
        return handler, match.groupdict()
    raise RequestError(ErrorCode.NOT_FOUND, "There is nothing at this address. See docs/administration.md.")


def _actor(request: Request) -> str:
    """Who says to be at work: the token is shared, so the audit log can only note what it is told."""
    actor = request.headers.get("x-samurai-actor", "admin")
    if _ACTOR.fullmatch(actor) is None:
        raise RequestError(
            ErrorCode.INVALID_VALUE,
            "x-samurai-actor takes at most 64 letters, digits and . _ @ + -",
            param="x-samurai-actor",
        )
    return actor


async def _in_our_words(handler: _Handler, order: Order) -> Response:
    try:
        return await handler(order)
    except RedisUnavailable:
        why = "Nothing can be read or changed while Redis is away. Whether a change was made is unknown: look first."
        raise RequestError(ErrorCode.INTERNAL_ERROR, why, should_retry=order.request.method == "GET") from None
    except TooManyWritersError:
        why = "Others are changing this key at the same time; nothing was changed."
        raise RequestError(ErrorCode.INTERNAL_ERROR, why, should_retry=True) from None
    except UnreadableRecordError as problem:
        raise RequestError(ErrorCode.INTERNAL_ERROR, f"{problem}.", should_retry=False) from None
