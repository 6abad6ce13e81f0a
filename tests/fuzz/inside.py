"""The volume: the real path from a request to its answer, in this process; made up are only the words of both sides.

read_body → fingerprint → plan → the dialect's call → its outcome of a vendor's reply → the answer.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from random import Random

import orjson

from gateway.domain.caller import Caller
from gateway.domain.catalogue import Catalogue, Target
from gateway.domain.errors import RequestError
from gateway.domain.exchange import Delivered, Fault, HttpReply, Outcome, Pending
from gateway.domain.harvest import Finished, Harvest, ShotResult
from gateway.domain.job import Job, Shot
from gateway.domain.picture import ImageFormat, Size
from gateway.envelope import error_reply
from gateway.policies.fingerprints import fingerprint, idempotency_hash, is_sdk_retry
from gateway.policies.retrying import after
from gateway.policies.verdict import objection
from gateway.settings.loading import load
from gateway.steps.plan import plan
from gateway.steps.read_body import read_body
from gateway.vendors import dialects
from tests.fuzz.answers import problem_with_envelope, problem_with_headers
from tests.fuzz.grammar import Asked, reply_of, request_of

__all__ = ["BATCH", "Finding", "Tally", "batch", "hear", "one", "read"]

BATCH = 10_000
_CONFIGURATION = Path(__file__).resolve().parent.parent.parent / "config" / "sandbox.yaml"
_DIALECTS = dialects()
_CALLER = Caller("fuzz", None, may_route=True)
_KEY = b"k" * 32


@dataclass(frozen=True)
class Finding:
    """An input that was answered in no documented way, and the seed that makes it again."""

    seed: str
    what: str


@dataclass
class Tally:
    """What came of a number of inputs. `valid` ones passed validation; `answers` counts the rest by code."""

    inputs: int = 0
    valid: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count another's in."""
        self.inputs += other.inputs
        self.valid += other.valid
        self.answers.update(other.answers)
        self.findings += other.findings


class UndocumentedError(Exception):
    """An answer that the contract does not know."""


@cache
def catalogue() -> Catalogue:
    """What the shipped sandbox configuration offers."""
    vendors = {name: dialect.vendor for name, dialect in _DIALECTS.items()}
    return load(_CONFIGURATION, {}, vendors).catalogue


def batch(seed: str, count: int = BATCH) -> Tally:
    """So many inputs; each has a seed of its own, `seed/number`."""
    tally = Tally()
    for number in range(count):
        one(f"{seed}/{number}", tally)
    return tally


def one(seed: str, tally: Tally) -> None:
    """One input, made from its seed, and everything that it leads to."""
    dice = Random(seed)
    asked = request_of(dice, (*catalogue().routes, "dall-e-3"))
    tally.inputs += 1
    try:
        code = _answered(asked, dice, tally)
    except Exception as failure:  # noqa: BLE001  whatever it is, it is a finding
        tally.findings.append(Finding(seed, f"{type(failure).__name__}: {failure}"))
        code = "finding"
    tally.answers[code] += 1


def read(body: bytes) -> None:
    """Read a body as it is. Raises for anything but a job and a documented refusal."""
    _answered(Asked(body, {"content-type": "application/json"}), Random(0), Tally())


def hear(number: int, reply: HttpReply) -> None:
    """Hear a vendor's reply, by the dialect with this number. Raises where nothing sensible comes of it."""
    names = sorted(_DIALECTS)
    dialect = _DIALECTS[names[number % len(names)]]
    target = _target_of(dialect.vendor)
    shot = Shot(replace(target, dialect=dialect.name), "p", 2, Size(1024, 1024), ImageFormat.PNG, deadline_s=60.0)
    _must(*_sound(dialect.outcome_of(reply, shot, target.account)))


def _target_of(vendor: str) -> Target:
    targets = (target for route in catalogue().routes.values() for target in route.targets)
    return next(target for target in targets if target.account.vendor == vendor)


def _answered(asked: Asked, dice: Random, tally: Tally) -> str:
    try:
        job = read_body(
            asked.body, asked.headers, _CALLER, catalogue(), lambda one: _DIALECTS[one.dialect].capabilities(one.model)
        )
        idempotency_hash("fuzz", asked.headers.get("idempotency-key"))
    except RequestError as refusal:
        return _documented(refusal)
    tally.valid += 1
    is_sdk_retry(asked.headers.get("x-stainless-retry-count"))
    if tally.inputs % 5 == 0:  # it takes a seventh of the time
        fingerprint("fuzz", job)
    _must(1 <= job.n <= 10 and 1 <= len(job.prompt) <= 1000, "a job that the contract does not allow")
    _must(not problem_with_headers({name: name for name in job.unmapped}), "a name that fits no header")
    return _served(job, dice)


def _served(job: Job, dice: Random) -> str:
    try:
        planned = plan(job, catalogue(), _DIALECTS, seed=lambda: 7, end_user_key=_KEY)
    except RequestError as refusal:
        return _documented(refusal)
    candidate = planned.candidates[0]
    results = tuple(_bought(shot, dice) for shot in planned.shots(candidate, job.n, before=0, deadline_s=60.0))
    harvest = Harvest(results)
    problem = objection(harvest, wanted=job.n, partial_allowed=job.partial_allowed, with_options=bool(job.options))
    made = len(harvest.finished)
    if problem is None:
        _must(made >= job.n or (job.partial_allowed and made > 0), "200 with too few images")
        return "ok"
    _must(made < job.n, "an error beside all of the images")
    unsafe = problem.should_retry and (harvest.in_doubt or harvest.lost)
    _must(not unsafe, "a retry called free that may be paid for twice")
    return _documented(problem)


def _bought(shot: Shot, dice: Random) -> ShotResult:
    dialect, account = _DIALECTS[shot.target.dialect], shot.target.account
    call = dialect.call_for(shot, account)
    _must(call.url.startswith(f"{account.base_url}/") and ".." not in call.url, "a call that leads elsewhere")
    orjson.dumps(call.json, default=dict)
    reply = reply_of(dice, dialect.name)
    outcome = dialect.outcome_of(reply, shot, account)
    _must(*_sound(outcome))
    if dialect.search is not None and dice.random() < 0.05:
        dialect.search.found_in(HttpReply(200, {}, {"results": [reply.json]}), shot, "hash", 0.0, account)
    if isinstance(outcome, Delivered):
        delivered = outcome.pictures[: shot.count]
        finished = tuple(Finished(shot.format, 1, "id", revised_prompt=one.revised_prompt) for one in delivered)
        withheld = min(outcome.withheld, shot.count - len(finished))
        missing = max(0, shot.count - len(finished) - outcome.withheld)
        return ShotResult(
            shot.count, "v", finished, outcome.billed, withheld=withheld, missing=missing, created=outcome.created
        )
    if isinstance(outcome, Fault):
        after(outcome, attempt=1, left_s=9.0, others=False, jitter=0.5)
        return ShotResult(shot.count, "v", faults=(outcome,))
    return ShotResult(shot.count, "v", missing=shot.count)


def _sound(outcome: Outcome) -> tuple[bool, str]:
    match outcome:
        case Delivered():
            counts = outcome.billed >= 0 and outcome.withheld >= 0
            return bool(outcome.pictures) and counts, "a delivery that makes no sense"
        case Pending():
            calls = [call for call in (outcome.check, outcome.cancel) if call is not None]
            return outcome.wait_s > 0 and not any(call.starts_work for call in calls), "pending work that costs money"
        case Fault():
            waits = outcome.retry_after_s is None or 0 <= outcome.retry_after_s <= 86_400
            return waits and len(outcome.detail) <= 500, "a fault that makes no sense"


def _documented(error: RequestError) -> str:
    status, headers, body = error_reply(error, "req_fuzz")
    shown = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    trouble = problem_with_headers(shown) or problem_with_envelope(status, shown, orjson.loads(body))
    _must(not trouble, trouble)
    return error.code.value


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise UndocumentedError(what)
