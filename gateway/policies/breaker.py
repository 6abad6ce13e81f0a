"""When a failing target is left alone, and how it comes back: one breaker a target, its moves a table.

                 too many failures, or out of order
     CLOSED ──────────────────────────────────────────► OPEN ◄─────┐
        ▲                                                 │        │ the probe failed
        │ the probe was served                            │ one probe after the cool-down,
        └───────────────────────────────── HALF_OPEN ◄────┘ sooner where nothing else can serve

Only what a vendor did wrong counts: a caller's bad request, a refusal and a 429 teach nothing. Times are seconds of a
clock that never runs backwards.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from gateway.domain.errors import ErrorCode
from gateway.domain.harvest import ShotResult

__all__ = ["Breaker", "BreakerRules", "Lesson", "Pass", "State", "lesson_of"]

LONGEST_COOLDOWNS = 4
"""The cool-down doubles with every probe that failed, up to so many times the first: with 5 s, up to 20 s."""

STEADY_SHARE = 0.75  # of a cool-down; the rest is spread, so that replicas do not probe in step
JUDGED_AT_MOST = 256  # calls: a busy target is judged by its latest, and memory stays bounded

_LASTING = frozenset((ErrorCode.UPSTREAM_AUTH_FAILED, ErrorCode.UPSTREAM_BILLING, ErrorCode.UPSTREAM_MODEL_UNAVAILABLE))


class State(StrEnum):
    """How a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Lesson(StrEnum):
    """What the end of a call says about its target's health."""

    SERVED = "served"
    FAILED = "failed"
    OUT_OF_ORDER = "out_of_order"
    NOTHING = "nothing"


class _Event(StrEnum):
    TRIPPED = "tripped"
    PROBED = "probed"
    PROBE_SERVED = "probe_served"
    PROBE_FAILED = "probe_failed"


_MOVES: Mapping[tuple[State, _Event], State] = MappingProxyType(
    {
        (State.CLOSED, _Event.TRIPPED): State.OPEN,
        (State.OPEN, _Event.TRIPPED): State.OPEN,
        (State.HALF_OPEN, _Event.TRIPPED): State.OPEN,
        (State.OPEN, _Event.PROBED): State.HALF_OPEN,
        (State.HALF_OPEN, _Event.PROBED): State.HALF_OPEN,
        (State.HALF_OPEN, _Event.PROBE_SERVED): State.CLOSED,
        (State.HALF_OPEN, _Event.PROBE_FAILED): State.OPEN,
    }
)


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """It opens when the share `failures` of at least `over` calls in `window_s` failed, or `over` in a row did.

    `cooldown_s` is how long it is left alone before the first probe.
    """

    failures: float = 0.5
    over: int = 10
    window_s: float = 30.0
    cooldown_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Pass:
    """Leave to call. `era` tells whether the breaker has moved since; a call of an earlier one teaches nothing."""

    era: int
    probe: bool


def lesson_of(result: ShotResult | None) -> Lesson:
    """What a call's result (None: it was not made, or never ended) says about the target.

    A rejected credential, an empty account and a dead model do not heal in seconds, and each of them is certain.
    """
    if result is None:
        return Lesson.NOTHING
    counted = [fault for fault in result.faults if fault.counts_against_vendor]
    if any(fault.code in _LASTING and not fault.transient_auth for fault in counted):
        return Lesson.OUT_OF_ORDER
    if counted:
        return Lesson.FAILED
    return Lesson.SERVED if result.finished else Lesson.NOTHING


class Breaker:
    """The health of one target, as told by the calls that ended. `rules` may be replaced at any time."""

    def __init__(self, rules: BreakerRules) -> None:
        self.rules = rules
        self._ended: deque[tuple[float, bool]] = deque(maxlen=max(JUDGED_AT_MOST, rules.over))
        self._state = State.CLOSED
        self._era = 0
        self._failed_in_a_row = 0
        self._opened_in_a_row = 0
        self._cool_at = 0.0
        self._probing = False

    @property
    def state(self) -> State:
        """How it stands; an open one stays so until somebody probes."""
        return self._state

    @property
    def is_well(self) -> bool:
        """Closed, and the last call that taught anything was served: worth a failover without asking twice."""
        return self._state is State.CLOSED and self._failed_in_a_row == 0

    @property
    def is_probed(self) -> bool:
        """Whether a probe is out."""
        return self._probing

    def is_current(self, given: Pass) -> bool:
        """Whether nothing has moved since this pass was given, but by the pass itself."""
        return given.era == self._era

    def wait_s(self, now_s: float) -> float:
        """Seconds until a call may be let through; 0.0 when one may now. While a probe is out: a cool-down."""
        if self._state is State.CLOSED:
            return 0.0
        return self.rules.cooldown_s if self._probing else max(0.0, self._cool_at - now_s)

    def enter(self, now_s: float, *, early: bool = False) -> Pass | None:
        """Leave to call, None when the target is to be left alone. `early` does not wait for the cool-down's end.

        There is never more than one probe out. Every pass must be given back to `leave`.
        """
        if self._state is State.CLOSED:
            return Pass(self._era, probe=False)
        if self._probing or not (early or now_s >= self._cool_at):
            return None
        self._move(_Event.PROBED)
        self._probing = True
        return Pass(self._era, probe=True)

    def leave(self, given: Pass, lesson: Lesson, now_s: float, jitter: float) -> None:
        """A call ended. `jitter` is a random number in [0, 1).

        A probe that taught nothing leaves the breaker half open: the next call is a probe again.
        """
        if given.era != self._era:
            return
        if given.probe:
            self._probing = False
        if lesson is Lesson.OUT_OF_ORDER:
            self.trip(now_s, jitter)
        elif lesson is not Lesson.NOTHING:
            self._probed(lesson, now_s, jitter) if given.probe else self._judge(lesson, now_s, jitter)

    def trip(self, now_s: float, jitter: float) -> None:
        """Open at once, for the longest cool-down: it is known to be out of order."""
        self._opened_in_a_row = LONGEST_COOLDOWNS.bit_length() - 1
        self._open(_Event.TRIPPED, now_s, jitter)

    def _judge(self, lesson: Lesson, now_s: float, jitter: float) -> None:
        failed = lesson is Lesson.FAILED
        self._failed_in_a_row = self._failed_in_a_row + 1 if failed else 0
        self._ended.append((now_s, failed))
        while self._ended[0][0] <= now_s - self.rules.window_s:
            self._ended.popleft()
        if failed and (self._failed_in_a_row >= self.rules.over or self._has_failed_often()):
            self._open(_Event.TRIPPED, now_s, jitter)

    def _has_failed_often(self) -> bool:
        failures = sum(bad for _, bad in self._ended)
        return len(self._ended) >= self.rules.over and failures >= self.rules.failures * len(self._ended)

    def _probed(self, lesson: Lesson, now_s: float, jitter: float) -> None:
        if lesson is Lesson.FAILED:
            self._open(_Event.PROBE_FAILED, now_s, jitter)
            return
        self._move(_Event.PROBE_SERVED)
        self._era += 1
        self._failed_in_a_row = self._opened_in_a_row = 0

    def _open(self, event: _Event, now_s: float, jitter: float) -> None:
        self._move(event)
        self._era += 1
        self._probing = False
        self._ended.clear()
        times = min(2**self._opened_in_a_row, LONGEST_COOLDOWNS)
        spread = STEADY_SHARE + (1 - STEADY_SHARE) * jitter
        self._cool_at = now_s + self.rules.cooldown_s * times * spread
        self._opened_in_a_row += 1

    def _move(self, event: _Event) -> None:
        self._state = _MOVES[self._state, event]
