"""What administration does with the end users of keys: shows who was refused, blocks and unblocks."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, Struct
from starlette.responses import Response

from gateway.domain.errors import ErrorCode, RequestError
from gateway.edges.blocked_users import BlockedUsers
from gateway.edges.world import World
from gateway.orders import Order, json_reply, no_query, page_size, told
from gateway.policies.end_users import EndUser, user_hash

__all__ = ["UserDesk", "WhichUser"]


class WhichUser(Struct, frozen=True, forbid_unknown_fields=True):
    """An end user of a key: by `user` as requests name it, which is kept nowhere, or by `user_hash` as listed."""

    key_id: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
    user: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    user_hash: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")] | None = None


class UserDesk:
    """End users on behalf of an administrator. Every method raises RequestError and RedisUnavailable.

    A change is in force here when the reply leaves, and on the other replicas within two seconds. `has_key` tells
    whether there is a key with this id; `secret` is what end users are hashed with.
    """

    def __init__(
        self, users: BlockedUsers, has_key: Callable[[str], Awaitable[bool]], secret: bytes, world: World
    ) -> None:
        self._users = users
        self._has_key = has_key
        self._secret = secret
        self._world = world

    async def list(self, order: Order) -> Response:
        """End users that are blocked, then those with refused prompts, the most refused first."""
        no_query(order, "limit")
        most = page_size(order)
        records = await self._users.records(datetime.fromtimestamp(self._world.now(), UTC).date())
        return json_reply(200, {"users": [asdict(one) for one in records[:most]], "total": len(records)})

    async def switch(self, order: Order, *, blocked: bool) -> Response:
        """Block or unblock an end user; doing so twice changes nothing."""
        which = await told(order, WhichUser)
        user = self._named(which)
        if blocked and not await self._has_key(user.key_id):
            raise RequestError(ErrorCode.NOT_FOUND, "There is no such key.")
        action = "block-user" if blocked else "unblock-user"
        changed = await self._users.switch(user, order.deed(action, self._world.now()), blocked=blocked)
        return json_reply(200, {**asdict(user), "blocked": blocked, "changed": changed})

    def _named(self, which: WhichUser) -> EndUser:
        if (which.user is None) == (which.user_hash is None):
            raise RequestError(ErrorCode.INVALID_VALUE, "Give either `user` or `user_hash`.", param="user")
        if which.user is not None:
            return EndUser(which.key_id, user_hash(which.key_id, which.user, self._secret))
        return EndUser(which.key_id, which.user_hash or "")
