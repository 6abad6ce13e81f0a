"""What administration does with keys, one method for each thing that can be asked."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import orjson
from starlette.responses import Response

from gateway.domain.catalogue import Catalogue
from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.wire import unix_seconds
from gateway.edges.key_mirror import KeyMirror
from gateway.edges.key_store import AuditLine, Deed, KeyStore
from gateway.edges.world import World
from gateway.key_bodies import KeyChanges, NewKey, NoMembers, Rotation, changed, overlap_s
from gateway.orders import Order, json_reply, no_query, page_size, told
from gateway.policies.key_fields import view_of
from gateway.policies.key_format import RANDOM_BYTES, digest, new_key
from gateway.policies.key_records import KeyRecord, LiveSecret, rotated, state_of

__all__ = ["KeyDesk", "Offer"]

_ID_DIGITS = 8  # as `samurai keys new` does it
_PLACE = re.compile(r"\d{1,15}(-\d{1,9})?", re.ASCII)
_LINES = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Offer:
    """What the configuration has: its models, its tenants, and its own keys, which are changed in the file alone."""

    catalogue: Catalogue
    tenants: frozenset[str]
    file_keys: Mapping[str, KeyRecord]


class KeyDesk:
    """Keys in Redis on behalf of an administrator. Every method raises RequestError and RedisUnavailable.

    A change is in force here when the reply leaves, and on the other replicas within two seconds.
    """

    def __init__(self, store: KeyStore, mirror: KeyMirror, offer: Offer, world: World) -> None:
        self._store = store
        self._mirror = mirror
        self._offer = offer
        self._world = world

    async def create(self, order: Order) -> Response:
        """Make a key. The only reply that holds its secret."""
        wish = await told(order, NewKey)
        secret = new_key(self._world.token(RANDOM_BYTES))
        sha256, now_s = digest(secret), float(int(self._world.now()))
        key_id = wish.id or f"key-{sha256[:_ID_DIGITS]}"
        blank = KeyRecord(key_id, (LiveSecret(sha256),), now_s)
        record = self._changed(blank, wish)
        if record.expires_at is not None and record.expires_at <= now_s:
            raise RequestError(ErrorCode.INVALID_VALUE, "`expires_at` has passed already.", param="expires_at")
        is_new = key_id not in self._offer.file_keys and await self._store.create(record, self._deed("create", order))
        if not is_new:
            raise RequestError(ErrorCode.INVALID_VALUE, "There is a key with this id.", param="id")
        await self._mirror.look()
        return json_reply(201, {"secret": secret, "key": self._shown(record)})

    async def list(self, order: Order) -> Response:
        """All keys: those of the file first."""
        no_query(order)
        in_file = [self._shown(record, "file") for record in self._offer.file_keys.values()]
        return json_reply(200, {"keys": in_file + [self._shown(record) for record in await self._store.all()]})

    async def show(self, order: Order) -> Response:
        """One key."""
        of_file = self._offer.file_keys.get(order.key_id)
        if of_file is not None:
            return json_reply(200, self._shown(of_file, "file"))
        record = await self._store.get(order.key_id)
        if record is None:
            raise _no_key()
        return json_reply(200, self._shown(record))

    async def has(self, key_id: str) -> bool:
        """Whether there is a key with this id."""
        return key_id in self._offer.file_keys or await self._store.get(key_id) is not None

    async def update(self, order: Order) -> Response:
        """Change what the body names, and leave the rest."""
        changes = await told(order, KeyChanges)
        return json_reply(200, await self._change(order, "update", lambda record: self._changed(record, changes)))

    async def rotate(self, order: Order) -> Response:
        """Give a key a new secret; the old one works on for the overlap. The only reply that holds the new one."""
        overlap = overlap_s(await told(order, Rotation))
        secret, now_s = new_key(self._world.token(RANDOM_BYTES)), self._world.now()
        edit = partial(rotated, sha256=digest(secret), now_s=now_s, overlap_s=overlap)
        return json_reply(200, {"secret": secret, "key": await self._change(order, "rotate", edit)})

    async def switch(self, order: Order, *, disabled: bool) -> Response:
        """Disable or enable a key."""
        await told(order, NoMembers)
        action = "disable" if disabled else "enable"
        return json_reply(200, await self._change(order, action, lambda record: replace(record, disabled=disabled)))

    async def delete(self, order: Order) -> Response:
        """End a key for good; what it did stays in the books and in the audit log."""
        await self._change(order, "delete", lambda _: None)
        return Response(status_code=204)

    async def audit(self, order: Order) -> Response:
        """A page of the audit log, as one JSON document or (`format=jsonl`) a line for each deed."""
        query = order.request.query_params
        no_query(order, "since", "limit", "format")
        lines = await self._store.audit(_since(query.get("since", "0")), page_size(order))
        shown = [_shown_line(line) for line in lines]
        wanted = query.get("format", "json")
        if wanted == "jsonl":
            return Response(b"".join(orjson.dumps(one) + b"\n" for one in shown), media_type=_LINES)
        if wanted != "json":
            raise RequestError(ErrorCode.INVALID_VALUE, "`format` is json or jsonl.", param="format")
        return json_reply(200, {"entries": shown, "next": shown[-1]["id"] if shown else None})

    async def _change(
        self, order: Order, action: str, edit: Callable[[KeyRecord], KeyRecord | None]
    ) -> dict[str, Any] | None:
        if order.key_id in self._offer.file_keys:
            why = "This key stands in the configuration file and is changed there."
            raise RequestError(ErrorCode.INVALID_VALUE, why, param="id")
        outcome = await self._store.change(order.key_id, self._deed(action, order), edit)
        if outcome is None:
            raise _no_key()
        await self._mirror.look()
        return None if outcome[1] is None else self._shown(outcome[1])

    def _changed(self, record: KeyRecord, changes: KeyChanges) -> KeyRecord:
        return changed(record, changes, self._offer.catalogue, self._offer.tenants)

    def _deed(self, action: str, order: Order) -> Deed:
        return order.deed(action, self._world.now())

    def _shown(self, record: KeyRecord, source: str = "redis") -> dict[str, Any]:
        view = {**view_of(record), "source": source, "state": state_of(record, self._world.now()).value}
        return view if source == "redis" else {**view, "created_at": None}


def _since(text: str) -> str:
    """A place in the log as it is, or the place at which a moment in ISO 8601 begins."""
    if _PLACE.fullmatch(text):
        return text
    moment = unix_seconds(text)
    if moment is None:
        why = "`since` is an entry's id, or a moment in ISO 8601 such as 2030-01-31T12:00:00Z."
        raise RequestError(ErrorCode.INVALID_VALUE, why, param="since")
    return str(moment * 1000)


def _shown_line(line: AuditLine) -> dict[str, Any]:
    return {"id": line.id, **line.content}


def _no_key() -> RequestError:
    return RequestError(ErrorCode.NOT_FOUND, "There is no such key.")
