"""The scripts of limiter and budget against the simplest thing that could be right, over any history of calls."""

import uuid
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from gateway.domain.money import Budget
from gateway.edges import limits
from gateway.policies.buckets import Dimension, Lease
from gateway.policies.purses import Purse, Reservation
from tests.servers import Server

CEILINGS = {"a": 100, "b": 60}
BURST, PLACES = 6, 3
DAY, MONTH = 20_000, 24_000
operations = st.integers(0, 11)


class Money(RuleBasedStateMachine):
    """`admin` is set by the test."""

    admin: Any = None

    @initialize()
    def begin(self) -> None:
        self.run = uuid.uuid4().hex
        self.admin.delete(*limits._MONEY)
        self.committed = dict.fromkeys(CEILINGS, 0)
        self.reserved: dict[str, tuple[int, tuple[str, ...]]] = {}
        self.lapsed: dict[str, tuple[str, ...]] = {}
        self.unknown: dict[str, int] = {}
        self.receipts: dict[str, bytes] = {}
        self.settled: set[str] = set()
        self.places: set[str] = set()
        self.units = 0
        self.booked = 0
        self.expired: set[str] = set()

    def purses(self, names: tuple[str, ...]) -> tuple[Purse, ...]:
        return tuple(Purse("key", self.run + one, Budget(None, None, CEILINGS[one])) for one in names)

    @rule(
        number=operations,
        amount=st.integers(0, 70),
        names=st.sampled_from([("a",), ("b",), ("a", "b")]),
        units=st.integers(0, 3),
    )
    def take(self, number: int, amount: int, names: tuple[str, ...], units: int) -> None:
        op_id = f"{self.run}-{number}"
        if op_id in self.settled and op_id not in self.receipts:
            return  # nobody settles what was never asked for, and then asks
        bucket = Dimension("images", "key", self.run, 1, BURST, units)
        lease = Lease("key", self.run, PLACES, 600_000)
        reservation = Reservation(self.purses(names), amount, 600_000)
        keys = [limits.receipt_key(op_id), limits._lease_key(lease), limits._bucket_key(bucket), *limits._MONEY]
        keys += [limits._purse_key(purse) for purse in reservation.purses]
        reply = self.admin.eval(
            limits._TAKE.text, len(keys), *keys, *limits._take_args(op_id, [bucket], [lease], reservation)
        )
        if op_id in self.receipts:
            assert reply == self.receipts[op_id]
            return
        self.clear_expired()
        fits = (
            self.units + units <= BURST
            and len(self.places) < PLACES
            and all(self.committed[name] + amount <= CEILINGS[name] for name in names)
        )
        assert (int(reply.split()[0]) == 1) == fits
        if fits:
            self.receipts[op_id] = reply
            self.units += units
            self.places.add(op_id)
            self.reserved[op_id] = amount, names
            for name in names:
                self.committed[name] += amount

    @rule(number=operations, cost=st.integers(0, 70), unknown=st.sampled_from([0, 0, 0, 5]))
    def settle(self, number: int, cost: int, unknown: int) -> None:
        op_id = f"{self.run}-{number}"
        lease = Lease("key", self.run, PLACES, 600_000)
        keys = [f"{{samurai}}:settled:{op_id}", *limits._MONEY, f"{limits.BOOKS}{self.run}-", limits._lease_key(lease)]
        args = [op_id, 600_000, cost + unknown, unknown, DAY, MONTH, "note", 1, 400, "line", cost]
        reply = self.admin.eval(limits._SETTLE.text, len(keys), *keys, *args)
        assert reply == (op_id not in self.settled)
        if op_id in self.settled:
            return
        self.settled.add(op_id)
        self.places.discard(op_id)
        self.expired.discard(op_id)
        self.booked += cost
        amount, names = self.reserved.pop(op_id, (0, self.lapsed.pop(op_id, ())))
        for name in names:
            self.committed[name] += cost + unknown - amount
        if unknown:
            self.unknown[op_id] = unknown

    @rule(number=operations)
    def its_replica_dies(self, number: int) -> None:
        op_id = f"{self.run}-{number}"
        if op_id in self.reserved:
            self.admin.zadd(limits._MONEY[0], {op_id: 1})
            self.expired.add(op_id)

    def clear_expired(self) -> None:
        for op_id in self.expired:
            amount, names = self.reserved.pop(op_id)
            self.lapsed[op_id] = names
            for name in names:
                self.committed[name] -= amount
        self.expired.clear()

    @invariant()
    def money_adds_up(self) -> None:
        for name, (purse,) in ((name, self.purses((name,))) for name in CEILINGS):
            assert int(self.admin.hget(limits._purse_key(purse), "t") or 0) == self.committed[name]
        assert {key.decode() for key in self.admin.hkeys(limits._MONEY[1])} == self.reserved.keys()
        kinds = {key.decode(): value.split()[0].decode() for key, value in self.admin.hgetall(limits.SUSPENSE).items()}
        assert kinds == dict.fromkeys(self.lapsed, "lapsed") | dict.fromkeys(self.unknown, "unknown")
        assert self.admin.zcard(limits._MONEY[0]) == len(self.reserved)


def test_limiter_and_budget_agree_with_their_reference_on_every_history(server: Server) -> None:
    with server.admin() as admin:
        machine = type("MoneyHere", (Money,), {"admin": admin})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=60,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
