"""In which order the targets of a route are tried: health first, then the route's strategy.

Whether a target can serve a job at all (sizes, transparency) is settled before; here stand only those that can.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.domain.catalogue import Strategy, Target

__all__ = ["Standing", "answers_to", "order"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a target stands at one moment.

    `wait_s` is 0 when it may be called now, else the seconds until it may be probed. `in_flight` are this process's
    calls under way there.
    """

    wait_s: float
    weight: int
    in_flight: int
    price_microusd: int


def order(standings: Sequence[Standing], strategy: Strategy, chance: float) -> tuple[int, ...]:
    """Places in `standings`, best first. `chance` is a random number in [0, 1); ties keep the configured order.

    Who is to be left alone comes last, the one that may be probed soonest first.
    """
    places = range(len(standings))
    ready = [place for place in places if standings[place].wait_s <= 0]
    shut = sorted((place for place in places if standings[place].wait_s > 0), key=lambda at: standings[at].wait_s)
    match strategy:
        case Strategy.CHEAPEST:
            ready.sort(key=lambda at: standings[at].price_microusd)
        case Strategy.LEAST_BUSY:
            ready.sort(key=lambda at: standings[at].in_flight)
        case Strategy.WEIGHTED:
            ready = _drawn(ready, [standings[at].weight for at in ready], chance)
        case Strategy.ORDERED:
            pass
    return (*ready, *shut)


def _drawn(places: list[int], weights: list[int], chance: float) -> list[int]:
    """A draw without putting back, each time by weight.

    What is left of the number within the share that it hit is as random as it was, so one number draws them all.
    """
    drawn: list[int] = []
    places, weights = list(places), list(weights)
    while places:
        point, index = chance * sum(weights), 0
        while index < len(weights) - 1 and point >= weights[index]:
            point -= weights[index]
            index += 1
        chance = min(max(0.0, point / weights[index]), 1 - 2**-53)
        drawn.append(places.pop(index))
        weights.pop(index)
    return drawn


def answers_to(target: Target, name: str) -> bool:
    """Whether a caller who names `name` means this target: its account, or `vendor/native model` as replies show it."""
    return name in (target.account.id, target.served_by)
