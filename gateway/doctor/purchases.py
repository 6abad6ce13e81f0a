"""Buying one image for each target, once, and keeping every word that was exchanged for it."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gateway.domain.catalogue import Catalogue
from gateway.domain.errors import RequestError
from gateway.domain.exchange import Delivered, Dialect, Fault, HttpCall, HttpReply, Next, Outcome, Pending, Picture
from gateway.domain.faults import timed_out
from gateway.domain.job import Job, Shot
from gateway.domain.picture import BadImage, ImageInfo
from gateway.edges.inspecting import inspect
from gateway.edges.upstreams import Upstreams
from gateway.edges.world import World
from gateway.policies import polling
from gateway.steps.plan import plan

__all__ = ["PROMPT", "Exchange", "Order", "Photo", "Purchase", "buy_all", "orders_of"]

PROMPT = "A paper boat on a puddle"  # nobody's safety check minds it; the sample replies in the tests have it too
_LAST_LOOK_S = 5.0


@dataclass(frozen=True, slots=True)
class Order:
    """One image to buy: for a target of a route, asked for as the gateway would."""

    route_id: str
    dialect: Dialect
    shot: Shot

    @property
    def account_id(self) -> str:
        """Who pays."""
        return self.shot.target.account.id

    @property
    def cost_microusd(self) -> int:
        """What it costs at most, by the price table."""
        return self.shot.target.price.highest * self.shot.count


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call and its reply. `step` is create or look. `is_over` when the reply ended the work."""

    step: str
    call: HttpCall
    reply: HttpReply
    outcome: Outcome

    @property
    def is_over(self) -> bool:
        """Whether the work ended with this reply."""
        return not isinstance(self.outcome, Pending)


@dataclass(frozen=True, slots=True)
class Photo:
    """What a bought image's own bytes say, and their number; a Fault where the image could not be had."""

    info: ImageInfo | BadImage | Fault
    length_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Purchase:
    """How an order went: the replies to the first call and to the last look, what it came to, and its images."""

    order: Order
    exchanges: tuple[Exchange, ...]
    outcome: Delivered | Fault
    photos: tuple[Photo, ...]
    seconds: float


def orders_of(
    catalogue: Catalogue, dialects: Mapping[str, Dialect], world: World, model: str | None = None
) -> tuple[list[Order], list[str]]:
    """An order for each target of every route, or of the route `model`; and the targets that can have none."""
    orders, impossible = [], []
    for route in catalogue.routes.values():
        if model not in (None, route.id):
            continue
        for target in route.targets:
            alone = replace(catalogue, routes={route.id: replace(route, targets=(target,))})
            job = Job(model=route.id, prompt=PROMPT, n=1, size=catalogue.default_size, wants_url=False)
            try:
                planned = plan(job, alone, dialects, seed=world.seed, end_user_key=b"")
            except RequestError as problem:
                impossible.append(f"{target.served_by}: {problem.message}")
                continue
            (shot,) = planned.shots(planned.candidates[0], 1, before=0, deadline_s=route.deadline_s)
            orders.append(Order(route.id, dialects[target.dialect], shot))
    return orders, impossible


async def buy_all(orders: Iterable[Order], upstreams: Upstreams, world: World) -> list[Purchase]:
    """Buy everything: accounts side by side, the orders of one account one after another, as new accounts need it."""
    by_account: dict[str, list[Order]] = {}
    for order in orders:
        by_account.setdefault(order.account_id, []).append(order)
    buyer = _Buyer(upstreams, world)
    done = await asyncio.gather(*(buyer.in_turn(each) for each in by_account.values()))
    return [purchase for purchases in done for purchase in purchases]


@dataclass(frozen=True, slots=True)
class _Buyer:
    upstreams: Upstreams
    world: World

    async def in_turn(self, orders: Iterable[Order]) -> list[Purchase]:
        return [await self.buy(order) for order in orders]

    async def buy(self, order: Order) -> Purchase:
        """One paid call, never repeated, followed until it is over or the route's deadline has passed."""
        started = self.world.monotonic()
        ends_at = started + order.shot.deadline_s
        call = order.dialect.call_for(order.shot, order.shot.target.account)
        first, outcome = await self._exchange("create", call, order, order.shot.deadline_s)
        exchanges: tuple[Exchange, ...] = () if first is None else (first,)
        if isinstance(outcome, Pending):
            last, outcome = await self._followed(outcome, order, ends_at)
            exchanges = (*exchanges, *(() if last is None else (last,)))
        photos: tuple[Photo, ...] = ()
        if isinstance(outcome, Delivered):
            reply = exchanges[-1].reply
            photos = tuple([await self._photo(picture, order, reply) for picture in outcome.pictures])
            self.upstreams.discard(reply)
        return Purchase(order, exchanges, outcome, photos, self.world.monotonic() - started)

    async def _followed(
        self, pending: Pending, order: Order, ends_at: float
    ) -> tuple[Exchange | None, Delivered | Fault]:
        exchange: Exchange | None = None
        for look in range(1, 10_000):
            wait_s = polling.wait_s(pending.wait_s, look, self.world.jitter())
            left_s = ends_at - self.world.monotonic() - wait_s
            if left_s <= 0:
                return await self._abandoned(pending, order)
            await self.world.sleep(wait_s)
            exchange, outcome = await self._exchange("look", pending.check, order, left_s)
            if isinstance(outcome, Pending):
                pending = outcome
            elif not (isinstance(outcome, Fault) and outcome.next is Next.RETRY and not outcome.may_have_billed):
                return exchange, outcome
        return await self._abandoned(pending, order)

    async def _abandoned(self, pending: Pending, order: Order) -> tuple[Exchange | None, Delivered | Fault]:
        """The deadline has passed: cancel where that can be done, and look once more."""
        if pending.cancel is not None:
            await self._exchange("cancel", pending.cancel, order, _LAST_LOOK_S)
        exchange, outcome = await self._exchange("look", pending.check, order, _LAST_LOOK_S)
        return exchange, _TOO_LATE if isinstance(outcome, Pending) else outcome

    async def _exchange(
        self, step: str, call: HttpCall, order: Order, deadline_s: float
    ) -> tuple[Exchange | None, Outcome]:
        answer = await self.upstreams.send(order.account_id, order.dialect, call, deadline_s=max(1.0, deadline_s))
        if isinstance(answer, Fault):
            return None, answer
        outcome = order.dialect.outcome_of(answer, order.shot, order.shot.target.account)
        if not isinstance(outcome, Delivered):
            self.upstreams.discard(answer)
        return Exchange(step, call, answer, outcome), outcome

    async def _photo(self, picture: Picture, order: Order, reply: HttpReply) -> Photo:
        blob = await self.upstreams.collect(
            order.account_id, order.dialect, picture.source, reply, deadline_s=order.shot.deadline_s
        )
        if isinstance(blob, Fault):
            return Photo(blob)
        info = await inspect(blob)
        blob.path.unlink(missing_ok=True)
        return Photo(info, blob.length)


_TOO_LATE = timed_out("the route's deadline passed before the work was done")
