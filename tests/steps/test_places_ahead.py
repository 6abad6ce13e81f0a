"""The places of a request's first calls, which are asked for in one write with its limits, before they are sure to be.

A replica without its sockets, before a real Valkey; the vendors are the sandbox's.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from hashlib import sha1
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from gateway.domain import faults
from gateway.domain.catalogue import Target
from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.harvest import ShotResult
from gateway.edges.pixels import Pixels
from gateway.edges.redis_store import Script
from gateway.settings.groups import Settings
from gateway.settings.loading import load
from gateway.vendors import dialects
from tests.model.replica import Gate, Replica, replica
from tests.processes import demo_key, sandbox, sandbox_settings
from tests.servers import Server, running_server, valkey_binary

T = TypeVar("T")

ONE_IMAGE_A_CALL = "flux-1.1-pro"
WITH_A_SPARE = "flux-with-a-spare"  # the same, at two accounts
SAY = Script("return 1", sha1(b"return 1").hexdigest())
PAID = "POST to a vendor"
OUT_OF_ORDER = ShotResult(1, "", faults=(faults.no_money("402"),))  # which shuts a target at once
_NAMES = count()


@dataclass(frozen=True)
class Place:
    """Where replicas are put."""

    redis: Server
    settings: Settings
    folder: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("places-ahead")
    with running_server(valkey_binary()) as redis, sandbox() as vendors:
        written = sandbox_settings(folder, vendors)
        written["keys"][0]["limits"] = {"images_per_minute": 10}
        written["accounts"]["replicate"]["pacing"] = {"initial_calls_in_flight": 10}
        written["accounts"]["spare"] = deepcopy(written["accounts"]["replicate"])
        flux = deepcopy(written["models"][ONE_IMAGE_A_CALL])
        flux["targets"].append(flux["targets"][0] | {"account": "spare"})
        written["models"][WITH_A_SPARE] = flux
        path = folder / "gateway.yaml"
        path.write_text(yaml.safe_dump(written))
        yield Place(redis, load(path, {}, {name: dialect.vendor for name, dialect in dialects().items()}), folder)


class Moments(Gate):
    """Lets something be done right behind a request's first script, its limits, and before each paid call."""

    def __init__(self) -> None:
        super().__init__()
        self.behind_limits: Callable[[], Awaitable[None]] | None = None
        self.before_call: Callable[[], None] = lambda: None

    async def through(self, name: str, act: Callable[[], Awaitable[T]]) -> T:
        if name == PAID:
            self.before_call()
        result = await super().through(name, act)
        if name == "script" and self.behind_limits is not None:
            act_now, self.behind_limits = self.behind_limits, None
            await act_now()
        return result


@dataclass
class House:
    """One replica, and what its Redis says."""

    replica: Replica
    moments: Moments
    admin: Any
    in_flight: list[tuple[int, int]] = field(default_factory=list)

    def ask(self, model: str = ONE_IMAGE_A_CALL, n: int = 4) -> "asyncio.Task[Any]":
        sent = {"authorization": f"Bearer {demo_key()}"}
        return self.replica.ask(sent, model=model, prompt="a heron", n=n, size="1024x1024")

    async def settle(self) -> None:
        """Until Redis has all that was said so far."""
        await self.replica.operations.drain(30)
        await self.replica.services.writer.drained()
        await self.replica.services.journal.redis.run(SAY, [], [])  # behind all that was posted

    def forget(self, what: str) -> None:
        for key in self.admin.scan_iter(f"{{samurai}}:{what}:*"):
            self.admin.delete(key)

    def places(self, account: str = "replicate") -> int:
        """How many calls to an account are under way, or wait, as Redis has it."""
        keys = (f"{{samurai}}:pace:{account}:{name}" for name in ("flight", "queue"))
        return sum(self.admin.zcard(key) for key in keys)

    def reads(self) -> int:
        return int(self.admin.info("stats")["total_reads_processed"])

    def scripts(self) -> int:
        """How many scripts, which were known, Redis has run."""
        return int(self.admin.info("commandstats")["cmdstat_evalsha"]["calls"])

    def note_places(self) -> None:
        """Of both accounts."""
        self.in_flight.append((self.places(), self.places("spare")))

    async def shut(self, model: str) -> Target:
        """Its first target is left alone from now on."""
        target = self.replica.services.catalogue.routes[model].targets[0]
        with self.replica.services.targets.visit(target) as visit:
            assert await visit.enter(last_resort=False, patience_s=0) is None
            visit.result = OUT_OF_ORDER
        assert not self.replica.services.targets.may_call(target)
        return target


@asynccontextmanager
async def house(place: Place) -> AsyncIterator[House]:
    """With all scripts known, all connections open, nothing taken of any limit, and nothing learnt of any account."""
    moments, pixels = Moments(), Pixels()
    await pixels.start()
    one = replica(place.settings, place.folder / f"replica {next(_NAMES)}", place.redis.url, pixels, moments)
    try:
        with place.redis.admin() as admin:
            built = House(one, moments, admin)
            for _ in range(2):
                built.forget("limit")
                await built.ask()
                await built.settle()
            built.forget("limit")
            built.forget("pace")
            yield built
    finally:
        await one.close()
        await pixels.stop()


@pytest.mark.parametrize(
    ("model", "images", "calls"),
    [
        (ONE_IMAGE_A_CALL, 1, 1),
        (ONE_IMAGE_A_CALL, 4, 4),
        (ONE_IMAGE_A_CALL, 10, 10),
        ("ideogram-v3", 10, 2),
        ("dall-e-3", 3, 1),
    ],
)
async def test_a_request_asks_redis_twice_before_its_calls_however_many_they_are(
    place: Place, model: str, images: int, calls: int
) -> None:
    async with house(place) as built:
        reads: list[int] = []
        built.moments.before_call = lambda: reads.append(built.reads())
        before = built.reads()
        await built.ask(model, images)
        assert [number - before for number in reads] == [2 + asked for asked in range(1, calls + 1)]  # these questions
        await built.settle()
        assert [built.places(account) for account in ("replicate", "ideogram", "openai")] == [0, 0, 0]


async def test_what_the_limits_refuse_writes_nothing_at_the_account_and_has_nothing_to_give_back(place: Place) -> None:
    async with house(place) as built:
        await built.ask(n=10)  # all that the key has for now
        await built.settle()
        built.forget("pace")
        before = built.scripts()
        with pytest.raises(RequestError) as refused:
            await built.ask(n=4)
        assert refused.value.code is ErrorCode.RATE_LIMIT_IMAGES
        await built.settle()
        assert list(built.admin.scan_iter("{samurai}:pace:*")) == []
        assert built.scripts() - before == 1 + 4 + 1  # the limits, the places, and this question


async def test_places_at_a_target_that_is_shut_meanwhile_are_given_back_before_another_one_is_called(
    place: Place,
) -> None:
    async with house(place) as built:

        async def shut() -> None:
            built.note_places()
            await built.shut(WITH_A_SPARE)

        built.moments.behind_limits, built.moments.before_call = shut, built.note_places
        await built.ask(WITH_A_SPARE)
        assert built.in_flight == [(4, 0), *[(0, 4)] * 4]


async def test_the_first_target_being_shut_the_places_are_asked_for_at_the_next_one(place: Place) -> None:
    async with house(place) as built:
        await built.shut(WITH_A_SPARE)

        async def look() -> None:
            built.note_places()

        built.moments.behind_limits = look
        await built.ask(WITH_A_SPARE)
        assert built.in_flight == [(0, 4)]


async def test_who_waits_for_a_probes_luck_keeps_no_place_meanwhile(place: Place) -> None:
    async with house(place) as built:

        async def shut() -> None:
            built.note_places()
            await built.shut(ONE_IMAGE_A_CALL)

        built.moments.behind_limits, built.moments.before_call = shut, built.note_places
        await built.ask()
        assert built.in_flight[:2] == [(4, 0), (1, 0)]  # the probe's
        assert len(built.in_flight) == 1 + 4


async def test_no_place_is_asked_for_ahead_at_a_target_that_is_shut_with_no_other_to_go_to(place: Place) -> None:
    async with house(place) as built:
        await built.shut(ONE_IMAGE_A_CALL)

        async def look() -> None:
            built.note_places()

        built.moments.behind_limits = look
        await built.ask()
        assert built.in_flight == [(0, 0)]


async def test_places_asked_for_ahead_are_given_back_when_the_work_is_stopped_before_its_calls(place: Place) -> None:
    async with house(place) as built:

        async def stop() -> None:
            built.note_places()
            for task in built.replica.operations.tasks:
                task.cancel()
            await asyncio.sleep(0)

        built.moments.behind_limits = stop
        before = built.moments.touches.count(f"before {PAID}")
        with pytest.raises(RequestError):
            await built.ask()
        await built.settle()
        built.note_places()
        assert built.in_flight == [(4, 0), (0, 0)]
        assert built.moments.touches.count(f"before {PAID}") == before
