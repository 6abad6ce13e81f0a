"""What one replica may grant on its own while Redis is away: its part of every limit, always warm.

It watches every reply of Redis, so that an outage begins with what was left, not with a full bucket. A bucket's
debt is a span of time, and a share refills `replicas` times slower into a bucket that many times smaller: the same
span therefore means "the same part is used" in both, and needs no conversion.
"""

from collections.abc import Sequence
from dataclasses import replace

from gateway.policies.buckets import Decision, Dimension, Granted, Impossible, Lease, give_back, take

__all__ = ["LocalShares"]

_FEWEST_TO_PRUNE = 1024


class LocalShares:
    """One replica's buckets and leases, in microseconds of its own monotonic clock."""

    def __init__(self, replicas: int) -> None:
        if replicas < 1:
            raise ValueError(f"{replicas} replicas")
        self.replicas = replicas
        self._owed_until_us: dict[str, int] = {}
        self._full_at_us: dict[str, int] = {}
        self._ends_us: dict[str, dict[str, int]] = {}
        self._prune_at = _FEWEST_TO_PRUNE

    def observe(self, dimensions: Sequence[Dimension], debts_us: Sequence[int], now_us: int) -> None:
        """Learn from Redis how much each bucket lacks. Replies may come out of order: the emptier one counts."""
        for dimension, debt_us in zip(dimensions, debts_us, strict=False):
            known = self._full_at_us.get(dimension.bucket, 0)
            self._full_at_us[dimension.bucket] = max(known, now_us + debt_us)
        if len(self._full_at_us) > self._prune_at:
            self._full_at_us = {name: at for name, at in self._full_at_us.items() if at > now_us}
            self._prune_at = max(_FEWEST_TO_PRUNE, 2 * len(self._full_at_us))

    def take(self, op_id: str, dimensions: Sequence[Dimension], leases: Sequence[Lease], now_us: int) -> Decision:
        """Decide alone, over this replica's share."""
        held = {lease.bucket: self._count(lease, now_us) for lease in leases}
        taken = take(self._full_at_us, held, now_us, dimensions, leases, self.replicas)
        self._full_at_us.update(taken.full_at_us)
        decision = taken.decision
        if isinstance(decision, Impossible):
            return decision
        if isinstance(decision, Granted):
            self.hold(op_id, leases, now_us)
            self._owe(dimensions, now_us)
        return replace(decision, degraded=True)

    def owed(self, now_us: int) -> dict[str, int]:
        """What was granted here alone and has not grown back yet (bucket → µs of the whole limit); then forgotten."""
        owed = {bucket: until_us - now_us for bucket, until_us in self._owed_until_us.items() if until_us > now_us}
        self._owed_until_us.clear()
        return owed

    def give_back(self, granted: Granted, dimensions: Sequence[Dimension], now_us: int) -> None:
        """Undo a taking here too: by the share's measure if it was granted here, else by the whole limit's."""
        replicas = self.replicas if granted.degraded else 1
        if granted.degraded:
            self._owe(dimensions, now_us, sign=-1)
        self._full_at_us.update(give_back(self._full_at_us, now_us, dimensions, replicas))

    def hold(self, op_id: str, leases: Sequence[Lease], now_us: int) -> None:
        """Remember that `op_id` runs."""
        for lease in leases:
            holders = self._ends_us.setdefault(lease.bucket, {})
            while holders and (eldest := next(iter(holders.items())))[1] <= now_us:
                del holders[eldest[0]]
            holders[op_id] = now_us + lease.ttl_ms * 1000

    def drop(self, op_id: str, leases: Sequence[Lease]) -> None:
        """Remember that `op_id` runs no more."""
        for lease in leases:
            holders = self._ends_us.get(lease.bucket, {})
            holders.pop(op_id, None)
            if not holders:
                self._ends_us.pop(lease.bucket, None)

    def _owe(self, dimensions: Sequence[Dimension], now_us: int, sign: int = 1) -> None:
        for one in dimensions:
            until_us = max(now_us, self._owed_until_us.get(one.bucket, 0))
            self._owed_until_us[one.bucket] = until_us + sign * one.cost * one.interval_us

    def _count(self, lease: Lease, now_us: int) -> int:
        """Count who runs; whoever ran out of time is forgotten."""
        holders = self._ends_us.get(lease.bucket, {})
        for op_id in [op_id for op_id, end_us in holders.items() if end_us <= now_us]:
            del holders[op_id]
        return len(holders)
