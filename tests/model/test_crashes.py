"""A replica dies at every place where it touches the world. Nobody pays twice, and no paid image is silently lost."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.errors import RequestError
from gateway.domain.record import Record
from gateway.domain.reply import Reply
from gateway.edges.pixels import Pixels
from gateway.policies.fingerprints import prompt_hash
from gateway.settings.groups import Settings
from gateway.settings.loading import load
from gateway.vendors import dialects
from tests.model.replica import Gate, Replica, replica
from tests.processes import demo_key, sandbox, sandbox_settings
from tests.servers import Server, running_server, valkey_binary

ASYNCHRONOUS, SYNCHRONOUS = "flux-1.1-pro", "ideogram-v3"
_NAMES = count()


@dataclass(frozen=True)
class World:
    """What all replicas of a test share."""

    redis: Server
    vendors: str
    settings: Settings
    folder: Path

    def charged(self, prompt: str) -> int:
        """How many images of this wish the vendors billed, by their own ledger."""
        calls = httpx2.get(f"{self.vendors}/sandbox/calls").raise_for_status().json()["calls"]
        ours = {call["id"] for call in calls if call["operation"] == "create" and _prompt_of(call["body"]) == prompt}
        entries = httpx2.get(f"{self.vendors}/sandbox/ledger").raise_for_status().json()["entries"]
        return sum(entry["images"] for entry in entries if entry["call_id"] in ours)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    with running_server(valkey_binary()) as redis, sandbox() as vendors:
        written = sandbox_settings(folder, vendors)
        written["keys"][0]["limits"] = {}
        written["keys"][0]["budget"] = {"per_day": 10_000}
        path = folder / "gateway.yaml"
        path.write_text(yaml.safe_dump(written))
        known = {name: dialect.vendor for name, dialect in dialects().items()}
        yield World(redis, vendors, load(path, {}, known), folder)


@dataclass
class Told:
    """What the client learnt in the end."""

    status: int
    images: int
    should_retry: bool | None


class Story:
    """One wish, and the replicas that it meets one after the other."""

    def __init__(self, world: World, model: str, images: int, pixels: Pixels, stack: AsyncExitStack) -> None:
        self.world, self.model, self.images = world, model, images
        self.prompt = f"wish {next(_NAMES)}"
        self._pixels, self._stack = pixels, stack
        self._replicas = count()

    async def replica(self, ends_at: int | None = None) -> Replica:
        """A further replica."""
        name = f"{self.prompt} {next(self._replicas)}"
        one = replica(self.world.settings, self.world.folder / name, self.world.redis.url, self._pixels, Gate(ends_at))
        self._stack.push_async_callback(one.close)
        return one

    def ask(self, one: Replica, **headers: str) -> "asyncio.Task[Reply]":
        sent = {"authorization": f"Bearer {demo_key()}", "idempotency-key": self.prompt.replace(" ", "-"), **headers}
        return one.ask(sent, model=self.model, prompt=self.prompt, n=self.images, size="256x256")

    async def learn(self, asked: "asyncio.Task[Reply]") -> Told:
        try:
            reply = await asyncio.wait_for(asked, 60)
        except RequestError as error:
            return Told(error.status, 0, error.should_retry)
        assert isinstance(reply.body, bytes)
        return Told(reply.status, len(orjson.loads(reply.body)["data"]), None)

    async def until_ended(self, one: Replica, asked: "asyncio.Task[Reply]") -> bool:
        """Wait until the replica has ended, or the client has its answer; whether it was the end."""
        ended = asyncio.create_task(one.gate.ended.wait())
        await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED, timeout=60)
        ended.cancel()
        return one.gate.ended.is_set()

    async def judge(self, told: Told, where: str) -> None:
        """The two promises."""
        charged, about = self.world.charged(self.prompt), f"{self.model}, {self.prompt}, {where}: {told}"
        assert charged <= self.images, f"paid twice: {charged} images. {about}"
        if told.status == 200:
            assert told.images == self.images == charged, about
            return
        assert told.should_retry is False, about
        record = await self.listed()
        assert record is not None, f"a silent loss: {about}"
        if self.model == ASYNCHRONOUS:
            # What may have been sent and is not in Replicate's list may yet come; what was paid for is there to be had.
            assert len(record.finished) == charged, f"lost: {charged} images paid. {about}"

    async def listed(self) -> Record | None:
        """The wish, among the operations whose outcome nobody knows."""
        witness = await self.replica()
        for op_id in await witness.services.journal.unknown():
            record = await witness.services.journal.read(op_id)
            if record is not None and record.prompt_hash == prompt_hash(self.prompt):
                return record
        return None


def _prompt_of(body: dict[str, Any] | None) -> str:
    asked = body or {}
    return str(asked.get("input", asked).get("prompt"))


@asynccontextmanager
async def story(world: World, model: str, images: int = 2) -> AsyncIterator[Story]:
    with world.redis.admin() as admin:
        for key in admin.scan_iter("{samurai}:pace:*"):  # the places of the dead fall free with time, which stands here
            admin.delete(key)
    pixels = Pixels()
    await pixels.start()
    try:
        async with AsyncExitStack() as stack:
            yield Story(world, model, images, pixels, stack)
    finally:
        await pixels.stop()


async def touches_of(world: World, model: str) -> list[str]:
    """Every place where an undisturbed replica touches the world for one wish."""
    async with story(world, model) as told:
        one = await told.replica()
        assert (await told.learn(told.ask(one))).status == 200
        await one.services.writer.drained()
        return list(one.gate.touches)


@pytest.mark.slow
@pytest.mark.parametrize("model", [ASYNCHRONOUS, SYNCHRONOUS])
async def test_a_replica_that_dies_anywhere_costs_nobody_an_image_twice(world: World, model: str) -> None:
    places = await touches_of(world, model)
    assert len(places) > 20
    for ends_at, place in enumerate(places, 1):
        async with story(world, model) as told:
            dying, heir = await told.replica(ends_at), await told.replica()
            await told.until_ended(dying, told.ask(dying))
            await heir.recover()
            await told.judge(await told.learn(told.ask(heir)), f"died at {ends_at} ({place})")


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    model=st.sampled_from([ASYNCHRONOUS, SYNCHRONOUS]),
    deaths=st.lists(st.tuples(st.integers(1, 45), st.booleans()), min_size=1, max_size=3),
    zombies=st.booleans(),
)
def test_heirs_that_die_and_zombies_that_go_on(
    world: World, model: str, deaths: list[tuple[int, bool]], zombies: bool
) -> None:
    """Replica after replica dies, taking over or being asked; or only seems to, and goes on when all is over."""
    asyncio.run(_play(world, model, deaths, zombies=zombies))


async def _play(world: World, model: str, deaths: list[tuple[int, bool]], *, zombies: bool) -> None:
    async with story(world, model) as told:
        stopped: list[Replica] = []
        for ends_at, recovers in deaths:
            one = await told.replica(ends_at)
            if recovers:
                one.leftovers = [asyncio.create_task(one.recover()), asyncio.create_task(one.gate.ended.wait())]
                await asyncio.wait(one.leftovers, return_when=asyncio.FIRST_COMPLETED)
            await told.until_ended(one, told.ask(one))
            stopped.append(one)
        last = await told.replica()
        await last.recover()
        if zombies:
            for one in stopped:
                one.gate.go_on()
                await one.operations.drain(30)
        answer = await told.learn(told.ask(last))
        if answer.status == 409:  # a zombie is still at it
            await last.operations.drain(30)
            answer = await told.learn(told.ask(last))
        await told.judge(answer, f"{deaths} zombies={zombies}")
