"""What a thousand clients that drip their headers do to all the others: p99 beside, as a ratio to p99 without them."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from bench.contestants import Contestant
from bench.crowd import Served
from bench.load import load
from bench.results import Outcome, Plan, at_most, ratio
from bench.small import WAY, files
from bench.stage import staged

__all__ = ["run"]

_SLOW = 1000
_DRIP_S = 0.5  # a byte each, so that no connection is ever idle
_START = b"POST /v1/images/generations HTTP/1.1\r\nHost: a\r\nX-Slow: "
_CONNECTIONS = 8
_PER_SECOND = 20.0  # well below what it can serve: what is measured is the wait, not the queue
_GATEWAY = "gateway"
_HEADINGS = {"p50_ms": "p50, ms", "p99_ms": "p99, ms", "requests": "requests", "errors": "errors", "slow": "slow ones"}


def run(plan: Plan) -> Outcome:
    """Measure it, without and with them by turns."""
    outcome = Outcome("slow")
    with staged(plan, files(), [WAY], (_GATEWAY,)) as stage:
        outcome.missing = stage.missing
        (gateway,) = stage.present.values()
        _healthy(1.0, gateway)
        for number in range(plan.rounds):
            for beside in (False, True):
                with _crawling(gateway.port, _SLOW if beside else 0) as crawling:
                    act = partial(_healthy, plan.seconds)
                    told = stage.act(gateway, act, round=number, beside="yes" if beside else "no")
                    outcome.rounds.append({**told, "slow": len(crawling)})
    keys = [{"beside": "no"}, {"beside": "yes"}]
    outcome.tabulate(f"{_PER_SECOND:.0f} requests a second, alone and beside {_SLOW} slow clients", _HEADINGS, keys)
    alone, crowded = (outcome.median("p99_ms", beside=word) for word in ("no", "yes"))
    outcome.verdicts.append(at_most(8, "p99 beside slow clients, by that alone", ratio(crowded, alone), 2, "×"))
    return outcome


def _healthy(seconds: float, gateway: Contestant) -> Served:
    ask = gateway.ask(WAY.name, response_format="url")
    return load(ask, _CONNECTIONS, seconds=seconds, per_second=_PER_SECOND).served


@contextmanager
def _crawling(port: int, many: int) -> Iterator[list[socket.socket]]:
    """So many clients that send a byte now and then; whom the gateway cuts off comes back."""
    over = threading.Event()
    slow = [_one(port) for _ in range(many)]

    def drip() -> None:
        while not over.wait(_DRIP_S):
            for place, one in enumerate(slow):
                try:
                    one.send(b"a")
                except OSError:
                    one.close()
                    slow[place] = _one(port)

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        yield slow
    finally:
        over.set()
        dripping.join()
        for one in slow:
            one.close()


def _one(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port))
    made.setblocking(False)  # noqa: FBT003  # the standard library's own signature
    made.send(_START)
    return made
