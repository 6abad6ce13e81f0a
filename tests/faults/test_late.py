"""What is learnt late is believed: a vendor that calls about work given up, a replica that was only thought dead."""

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2
import pytest

from tests.faults.deployment import eventually
from tests.faults.site import SLACK_S, TAKEN_UP_S, Site, pictures, refusal, settings_of, unknown_at
from tests.processes import SAMURAI, START_DEADLINE_S, Running, child, gateway
from tests.replicas import administer
from tests.servers import free_port, running_server, valkey_binary

PACE = "1.1"  # a prediction takes 4.4 s: more than its deadline, less than the vendor's shortest Cancel-After
DEADLINE_S = 2.0
PATIENCE_S = 30.0
FROZEN_FOR_S = TAKEN_UP_S + SLACK_S
PRICE = {"flux-1.1-pro": 0.04, "flux-schnell": 0.003, "ideogram-v3": 0.06}


@dataclass(frozen=True)
class Late(Site):
    """A site whose vendors may call back, and whose key has a budget."""

    port: int = 0
    before: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def another(
        self, name: str, drain: dict[str, str] | None = None, program: Sequence[str] = SAMURAI
    ) -> Iterator[Running]:
        """A further replica, which vendors do not reach."""
        settings = with_budget(settings_of(self.folder, name, self.redis, self.vendors), self.port)
        settings["server"]["drain"] |= drain or {}
        with gateway(self.folder / name, settings, self.vendors, program=program) as running:
            try:
                yield running
            finally:
                if running.process.poll() is None:
                    running.process.send_signal(signal.SIGCONT)

    def suspense(self) -> list[dict[str, Any]]:
        """What is in suspense and was not before the test."""
        listed = administer(self.stays, "GET", "/admin/suspense").raise_for_status().json()["suspense"]
        return [one for one in listed if one["operation"] not in self.before.get("suspense", ())]

    def unknown(self) -> set[str]:
        """The operations whose outcome nobody knows and that are of this test."""
        before: set[str] = self.before.get("unknown", set())
        return unknown_at(self.stays) - before

    def booked(self) -> dict[str, int]:
        """What the test has added to the books, and to what its key has spent."""
        rows = administer(self.stays, "GET", "/admin/usage?by=key").raise_for_status().json()["usage"]
        sums = {name: sum(row[name] for row in rows) for name in ("delivered", "billed", "cost_microusd")}
        with self.redis.admin() as admin:
            purses = list(admin.scan_iter("{samurai}:purse:key:*"))
            reserved = sum(int(record.split()[0]) for record in admin.hvals("{samurai}:records"))  # for an outage
            sums["spent_microusd"] = sum(int(admin.hget(purse, "t")) for purse in purses) - reserved
        return {name: value - self.before.get("booked", {}).get(name, 0) for name, value in sums.items()}

    def operation(self, op_id: str) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.stays.key}"}
        shown: dict[str, Any] = httpx2.get(f"{self.stays.base_url}/v1/operations/{op_id}", headers=headers).json()
        return shown


def with_budget(settings: dict[str, Any], port: int) -> dict[str, Any]:
    settings["keys"][0]["budget"] = {"per_day": 1000, "total": 1000}
    settings["webhooks"] = {"public_url": f"http://127.0.0.1:{port}"}
    settings["models"]["flux-1.1-pro"]["deadline"] = f"{DEADLINE_S:g}s"
    return settings


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Late]:
    tmp_path = tmp_path_factory.mktemp("late")
    (tmp_path / "signing.key").write_text("k" * 40)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(8))
        redis = stack.enter_context(running_server(valkey_binary()))
        _, output = stack.enter_context(child("sandbox", "--port", "0", "--unlimited", "--pace", PACE))
        vendors = output.wait_for(r"(http://127\.0\.0\.1:\d+)", START_DEADLINE_S)[1]
        port = free_port()
        settings = with_budget(settings_of(tmp_path, "stays", redis, vendors), port)
        settings["server"]["public"]["port"] = port
        stays = stack.enter_context(gateway(tmp_path / "stays", settings, vendors))
        yield Late(stays, redis, tmp_path, vendors, pool, port)


@pytest.fixture
def late(built: Late) -> Late:
    """The same for all tests, as nothing that one of them does is undone by the next."""
    built.stays.reset()
    before = {
        "suspense": {one["operation"] for one in built.suspense()},
        "unknown": unknown_at(built.stays),
        "booked": built.booked(),
    }
    return replace(built, before=before)


def unknown_in_time(late: Late, key: str, count: int = 1) -> str:
    """Work at Replicate that the deadline cuts off, and that cannot be cancelled; the operation's id."""
    late.script("replicate", {"status": 500, "body": {"detail": "not now"}}, "cancel", times=None)
    told = late.ask(late.stays, key, {"idempotency-key": key}, model="flux-1.1-pro", n=count)
    assert told.status_code == 500
    assert told.headers["x-should-retry"] == "false"
    op_id = str(told.headers["x-samurai-operation-id"])
    eventually(lambda: op_id in late.unknown(), PATIENCE_S)
    assert [one["operation"] for one in late.suspense()] == [op_id]
    assert float(late.suspense()[0]["cost_usd"]) == pytest.approx(count * PRICE["flux-1.1-pro"])
    return op_id


def booked(images: int, microusd: int) -> dict[str, int]:
    return {"delivered": images, "billed": images, "cost_microusd": microusd, "spent_microusd": microusd}


def ended(late: Late, op_id: str, status: str) -> bool:
    return bool(late.operation(op_id)["status"] == status)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_a_vendor_that_calls_after_the_end_brings_its_images_and_settles_what_was_in_suspense(
    late: Late, count: int
) -> None:
    key = f"called-late-{count}"
    op_id = unknown_in_time(late, key, count)
    eventually(lambda: ended(late, op_id, "completed"), PATIENCE_S)
    again = late.ask(late.stays, key, {"idempotency-key": key}, model="flux-1.1-pro", n=count)
    assert len(set(pictures(again))) == count
    assert again.headers["idempotent-replayed"] == "true"
    assert late.charges() == [1] * count
    assert (late.unknown(), late.suspense()) == (set(), [])
    cost = round(count * PRICE["flux-1.1-pro"] * 1e6)
    assert late.booked() == booked(count, cost)


@pytest.mark.slow
def test_a_vendor_that_calls_to_say_it_made_nothing_frees_the_money_and_the_caller_may_ask_again(late: Late) -> None:
    late.script("replicate", {"life": "fails"})
    op_id = unknown_in_time(late, "failed-late")
    late.script("replicate", {"put": {"metrics": {"image_count": 0}}}, "poll", times=None)
    eventually(lambda: ended(late, op_id, "failed"), PATIENCE_S)
    assert late.operation(op_id)["error"]["code"] == "upstream_error"
    assert late.unknown() == set()
    assert (late.suspense(), late.charges(), late.booked()) == ([], [], booked(0, 0))
    late.let_go()
    key = {"idempotency-key": "failed-late"}
    assert len(pictures(late.ask(late.stays, "failed-late", key, model="flux-schnell"))) == 1


@pytest.mark.slow
def test_a_vendor_that_calls_and_can_tell_nothing_new_changes_nothing(late: Late) -> None:
    late.script("replicate", {"life": "stuck_processing"})
    op_id = unknown_in_time(late, "cut-off")
    before, looks = late.operation(op_id), late.polls()
    eventually(lambda: late.polls() > looks, PATIENCE_S)
    eventually(lambda: late.operation(op_id) == before, PATIENCE_S)
    assert late.unknown() == {op_id}
    assert [one["operation"] for one in late.suspense()] == [op_id]
    again = late.ask(late.stays, "cut-off", {"idempotency-key": "cut-off"}, model="flux-1.1-pro")
    assert refusal(again) == (500, "upstream_timeout", "false")
    assert len(late.calls()) == 1


@pytest.mark.slow
def test_money_that_somebody_settled_by_hand_stays_settled_when_the_vendor_calls(late: Late) -> None:
    op_id = unknown_in_time(late, "settled-by-hand")
    administer(late.stays, "POST", f"/admin/suspense/{op_id}", {"billed": 0.01}).raise_for_status()
    eventually(lambda: ended(late, op_id, "completed"), PATIENCE_S)
    assert late.suspense() == []
    assert late.booked() == booked(0, 10_000)


@pytest.mark.slow
def test_a_replica_that_was_only_frozen_tells_what_its_heir_did_not_know_and_settles_it(late: Late) -> None:
    with late.another("frozen") as frozen:
        late.script("ideogram", {"latency_s": 1.0})
        asked = late.begin(frozen, "frozen", {"idempotency-key": "frozen"}, model="ideogram-v3")
        frozen.process.send_signal(signal.SIGSTOP)
        eventually(lambda: len(late.unknown()) == 1, FROZEN_FOR_S)
        assert [float(one["cost_usd"]) for one in late.suspense()] == [PRICE["ideogram-v3"]]
        frozen.process.send_signal(signal.SIGCONT)
        assert len(pictures(asked.result())) == 1
        eventually(lambda: not late.unknown(), PATIENCE_S)
        again = late.ask(late.stays, "frozen", {"idempotency-key": "frozen"}, model="ideogram-v3")
    assert pictures(again) == pictures(asked.result())
    assert (late.suspense(), late.charges()) == ([], [1])
    assert late.booked() == booked(1, 60_000)


@pytest.mark.slow
def test_a_frozen_replica_that_learns_of_a_refusal_frees_what_its_heir_had_put_in_suspense(late: Late) -> None:
    with late.another("frozen") as frozen:
        late.script("ideogram", {"latency_s": 1.0, "error": "ideogram.safety_422"})
        asked = late.begin(frozen, "refused", {"idempotency-key": "refused"}, model="ideogram-v3")
        frozen.process.send_signal(signal.SIGSTOP)
        eventually(lambda: len(late.unknown()) == 1, FROZEN_FOR_S)
        frozen.process.send_signal(signal.SIGCONT)
        assert refusal(asked.result()) == (400, "content_policy_violation", "false")
        eventually(lambda: not late.unknown(), PATIENCE_S)
        again = late.ask(late.stays, "refused", {"idempotency-key": "refused"}, model="ideogram-v3")
    assert refusal(again) == (400, "content_policy_violation", "false")
    assert (late.suspense(), late.charges(), late.booked()) == ([], [], booked(0, 0))
    assert len(late.calls()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("vendor", ["replicate", "ideogram"])
def test_the_place_of_a_dead_replica_is_free_once_its_work_is_found_out(late: Late, vendor: str) -> None:
    def held() -> int:
        with late.redis.admin() as admin:
            return int(admin.zcard(f"{{samurai}}:pace:{vendor}:flight"))

    with late.another("killed") as killed:
        if vendor == "replicate":
            late.begin_endless(killed, "a place")
        else:
            late.script(vendor, {"latency_s": 2.0})
            late.begin(killed, "a place", model="ideogram-v3")
        assert held() == 1
        killed.process.kill()
        killed.process.wait()
    if vendor == "replicate":
        looks = late.polls()
        eventually(lambda: late.polls() > looks, TAKEN_UP_S + SLACK_S)
        assert held() == 1  # the work goes on at the vendor's
        late.let_go()
    eventually(lambda: held() == 0, TAKEN_UP_S + SLACK_S)
