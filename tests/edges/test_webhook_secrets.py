"""Against the sandbox on a real socket."""

from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.domain.catalogue import Account
from gateway.edges.credentials import FixedSecret
from gateway.edges.upstreams import AccountAccess, Upstreams
from gateway.edges.webhook_secrets import ASK_EVERY_S, WebhookSecrets
from gateway.sandbox.options import REPLICATE_TOKEN
from gateway.sandbox.server import Sandbox, running_sandbox
from gateway.sandbox.webhooks import SECRET
from gateway.vendors.replicate_predictions import DIALECT

KEY = b64decode(SECRET.removeprefix("whsec_"))


@dataclass
class Asking:
    """One account at the sandbox, and a clock that stands still."""

    vendor: Sandbox
    upstreams: Upstreams
    account: Account
    now_s: float = 1000.0
    secrets: WebhookSecrets = field(init=False)

    def __post_init__(self) -> None:
        self.secrets = WebhookSecrets(lambda: self.now_s)

    async def key(self, doubted: bytes | None = None) -> bytes | None:
        return await self.secrets.key_of(self.account, DIALECT, self.upstreams, doubted=doubted)

    @property
    def asked(self) -> int:
        return sum(call.operation == "webhook_secret" for call in self.vendor.state.calls)


@pytest.fixture
async def asking(tmp_path: Path) -> AsyncIterator[Asking]:
    async with running_sandbox() as vendor:
        account = Account(id="replicate", vendor="replicate", base_url=f"{vendor.base_url}/replicate/v1")
        access = AccountAccess(account=account, credential=FixedSecret(REPLICATE_TOKEN))
        upstreams = Upstreams({"replicate": access}, tmp_path / "spool")
        yield Asking(vendor, upstreams, account)
        await upstreams.aclose()


async def test_the_vendor_is_asked_once(asking: Asking) -> None:
    assert [await asking.key() for _ in range(3)] == [KEY] * 3
    assert asking.asked == 1


async def test_a_doubted_key_is_asked_for_again_once_a_minute(asking: Asking) -> None:
    assert await asking.key() == KEY
    for _ in range(5):
        assert await asking.key(doubted=KEY) == KEY
    assert asking.asked == 1
    asking.now_s += ASK_EVERY_S
    for _ in range(5):
        assert await asking.key(doubted=KEY) == KEY
    assert asking.asked == 2


async def test_a_vendor_that_does_not_tell_leaves_us_without_a_key_until_it_does(asking: Asking) -> None:
    asking.vendor.state.script("replicate", operation="webhook_secret", then={"status": 500, "body": {}})
    assert await asking.key() is None
    asking.now_s += ASK_EVERY_S
    assert await asking.key() == KEY


async def test_a_new_key_that_cannot_be_had_does_not_lose_the_old_one(asking: Asking) -> None:
    assert await asking.key() == KEY
    asking.now_s += ASK_EVERY_S
    asking.vendor.state.script("replicate", operation="webhook_secret", then={"status": 500, "body": {}})
    assert await asking.key(doubted=KEY) == KEY
