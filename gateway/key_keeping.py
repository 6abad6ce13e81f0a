"""The composition of all that has to do with keys: the store in Redis, this replica's copies, and administration."""

from collections.abc import Mapping

from starlette.types import ASGIApp

from gateway.administration import Desks, Gate, administration_app
from gateway.domain.facts import Listener
from gateway.edges.blocked_users import BlockedUsers
from gateway.edges.key_mirror import KeyMirror
from gateway.edges.key_store import KeyStore
from gateway.edges.keys import Keys
from gateway.edges.redis_store import RedisStore
from gateway.edges.world import World
from gateway.key_administration import KeyDesk, Offer
from gateway.operation_administration import OperationDesk
from gateway.policies.attempts import FailedAttempts
from gateway.policies.key_records import KeyRecord, LiveSecret
from gateway.settings.groups import Settings
from gateway.usage_administration import UsageDesk
from gateway.user_administration import UserDesk

__all__ = ["KeyKeeping"]


class KeyKeeping:
    """Must be started before keys are asked for, and stopped before Redis is closed."""

    def __init__(self, settings: Settings, redis: RedisStore) -> None:
        self._settings = settings
        self._redis = redis
        self._store = KeyStore(redis)
        self.mirror = KeyMirror(self._store, honour_s=settings.redis.honour_keys_s, outage=lambda: redis.outage)
        self.blocked_users = BlockedUsers(redis)
        self._attempts = FailedAttempts()

    def adopt(self, settings: Settings) -> None:
        """Make what is made from now on by these settings: a configuration that was read anew."""
        self._settings = settings

    async def start(self) -> None:
        """Read keys and blocked end users, and follow them from now on."""
        await self.mirror.start()
        await self.blocked_users.start()

    async def stop(self) -> None:
        """Follow them no more."""
        await self.blocked_users.stop()
        await self.mirror.stop()

    def keys(self, tell: Listener) -> Keys:
        """The keys of the file and of Redis. `tell` hears of every refusal."""
        return Keys(self._settings.callers, self.mirror, self._settings.tenants, tell=tell)

    def administration(self, world: World, end_user_key: bytes, operations: OperationDesk) -> ASGIApp:
        """The application below /admin on the second port. `end_user_key` is what end users are hashed with."""
        settings = self._settings
        offer = Offer(settings.catalogue, frozenset(settings.tenants), _file_keys(settings))
        gate = Gate(settings.server.admin_token, settings.server.trusted_proxies, self._attempts)
        keys = KeyDesk(self._store, self.mirror, offer, world)
        users = UserDesk(self.blocked_users, keys.has, end_user_key, world)
        return administration_app(gate, Desks(keys, users, UsageDesk(self._redis, world), operations), world.monotonic)


def _file_keys(settings: Settings) -> Mapping[str, KeyRecord]:
    return {
        record.caller.key_id: KeyRecord(
            id=record.caller.key_id,
            secrets=(LiveSecret(record.sha256),),
            created_at=0.0,
            tenant=record.caller.tenant,
            models=record.caller.models,
            limits=record.caller.limits,
            per_user=record.caller.per_user,
            budget=record.budget,
            priority=record.caller.priority,
            may_route=record.caller.may_route,
            metadata=record.metadata,
        )
        for record in settings.keys
    }
