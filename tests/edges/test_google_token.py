import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from gateway.edges.credentials import CredentialUnavailable
from gateway.edges.google_sources import FetchedToken
from gateway.edges.google_token import GoogleToken


class Mint:
    """A token source that counts, can be held up, and can fail."""

    def __init__(self, life_s: float = 3600.0) -> None:
        self.life_s = life_s
        self.calls = 0
        self.failing: Exception | None = None
        self.open = threading.Event()
        self.open.set()

    def __call__(self) -> FetchedToken:
        self.calls += 1
        number = self.calls
        self.open.wait(5)
        if self.failing:
            raise self.failing
        return FetchedToken(f"token-{number}", self.life_s)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


async def test_fifty_callers_at_once_fetch_one_token() -> None:
    mint = Mint()
    mint.open.clear()
    token = GoogleToken(mint)
    callers = [asyncio.create_task(token.secret()) for _ in range(50)]
    await until(lambda: mint.calls == 1)
    mint.open.set()
    assert await asyncio.gather(*callers) == ["token-1"] * 50
    assert await token.secret() == "token-1"
    assert mint.calls == 1


async def test_the_event_loop_goes_on_while_a_token_is_fetched() -> None:
    mint = Mint()
    mint.open.clear()
    caller = asyncio.create_task(GoogleToken(mint).secret())
    await until(lambda: mint.calls == 1)
    for _ in range(100):
        await asyncio.sleep(0)
    assert not caller.done()
    mint.open.set()
    assert await caller == "token-1"


async def test_a_caller_who_leaves_does_not_take_the_token_from_the_others() -> None:
    mint = Mint()
    mint.open.clear()
    token = GoogleToken(mint)
    leaving, staying = asyncio.create_task(token.secret()), asyncio.create_task(token.secret())
    await until(lambda: mint.calls == 1)
    leaving.cancel()
    with suppress(asyncio.CancelledError):
        await leaving
    mint.open.set()
    assert await staying == "token-1"
    assert mint.calls == 1


@pytest.mark.parametrize(("life_s", "renewed_after_s"), [(3600.0, 1800.0), (500.0, 200.0)])
async def test_a_token_is_renewed_early_while_the_old_one_serves(life_s: float, renewed_after_s: float) -> None:
    now = 0.0
    mint = Mint(life_s)
    token = GoogleToken(mint, clock=lambda: now)
    assert await token.secret() == "token-1"
    now = renewed_after_s - 1
    assert await token.secret() == "token-1"
    assert mint.calls == 1
    now = renewed_after_s + 1
    mint.open.clear()
    assert await token.secret() == "token-1"
    await until(lambda: mint.calls == 2)
    assert await token.secret() == "token-1"
    mint.open.set()
    await until(lambda: mint.calls == 2 and token._renewal is None)
    assert await token.secret() == "token-2"
    assert mint.calls == 2


async def test_when_renewing_fails_the_old_token_serves_to_its_end_and_then_there_is_none() -> None:
    now = 0.0
    mint = Mint(1000.0)
    token = GoogleToken(mint, clock=lambda: now)
    await token.secret()
    mint.failing = CredentialUnavailable("endpoint is down")
    for then in (600.0, 700.0, 999.0):
        now = then
        assert await token.secret() == "token-1"
        await until(lambda: token._renewal is None)
    assert mint.calls == 4
    now = 1000.0
    with pytest.raises(CredentialUnavailable, match="endpoint is down"):
        await token.secret()
    mint.failing = None
    now = 1002.0
    assert await token.secret() == "token-6"


async def test_a_failing_endpoint_is_not_stormed() -> None:
    now = 0.0
    mint = Mint()
    mint.failing = CredentialUnavailable("no")
    token = GoogleToken(mint, clock=lambda: now)
    for _ in range(20):
        with pytest.raises(CredentialUnavailable):
            await token.secret()
    assert mint.calls == 1
    now = 1.5
    with pytest.raises(CredentialUnavailable):
        await token.secret()
    assert mint.calls == 2


async def test_after_a_refusal_one_new_token_is_fetched_for_everybody() -> None:
    now = 0.0
    mint = Mint()
    token = GoogleToken(mint, clock=lambda: now)
    await token.secret()
    now = 60.0
    assert await asyncio.gather(*(token.secret(fresh=True) for _ in range(20))) == ["token-2"] * 20
    assert await token.secret(fresh=True) == "token-2"  # seconds old: the refusal was of the one before
    assert mint.calls == 2


async def test_when_a_new_token_cannot_be_had_after_a_refusal_the_old_one_is_tried_again() -> None:
    now = 0.0
    mint = Mint()
    token = GoogleToken(mint, clock=lambda: now)
    await token.secret()
    now, mint.failing = 60.0, CredentialUnavailable("no")
    assert await token.secret(fresh=True) == "token-1"


async def test_a_source_that_breaks_in_an_unforeseen_way_leaves_nobody_waiting() -> None:
    now = 0.0
    mint = Mint()
    mint.failing = ZeroDivisionError("canary-secret")
    token = GoogleToken(mint, clock=lambda: now)
    with pytest.raises(CredentialUnavailable) as caught:
        await token.secret()
    assert str(caught.value) == "ZeroDivisionError"
    now, mint.failing = 5.0, None
    assert await token.secret() == "token-2"
    assert "token-2" not in repr(token)


@pytest.mark.slow
def test_a_silent_endpoint_does_not_hold_up_the_end_of_the_process() -> None:
    script = """
import asyncio, time
from gateway.edges.google_token import GoogleToken
async def main():
    try:
        await asyncio.wait_for(GoogleToken(lambda: time.sleep(30)).secret(), 0.1)
    except TimeoutError:
        print("gave up")
asyncio.run(main())
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=25, check=True)
    assert done.stdout == b"gave up\n"
    assert time.monotonic() - began < 20
