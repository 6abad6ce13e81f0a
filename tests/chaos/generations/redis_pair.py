"""A Redis with a replica behind one address, whose primary can be lost together with its last writes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.chaos.generations.wires import Relay, Streams, relay_to
from tests.servers import Server, admin_of, free_port, running_server

__all__ = ["RedisPair", "redis_pair"]

_RIGHTS = ("--user", "replication", "on", ">r", "+psync", "+replconf", "+ping", "--repl-diskless-sync-delay", "0")
_IN_STEP_S = 15.0


@dataclass
class RedisPair:
    """The two servers; `switch` leads to the primary."""

    binary: str
    stack: ExitStack
    primary: Server
    replica: Server
    switch: Relay

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.switch.port}/0"

    def admin(self) -> Any:
        """A plain blocking client of the primary."""
        return admin_of(port=self.primary.port)

    async def connect(self) -> Streams | None:
        try:
            return await asyncio.open_connection("127.0.0.1", self.primary.port)
        except OSError:
            return None

    async def fail_over(self, lost_s: float) -> None:
        """Lose the primary, and with it what it acknowledged in the last `lost_s` seconds; a new replica follows."""
        with self.admin() as admin:
            admin.execute_command("ACL", "SETUSER", "replication", "off")
            admin.client_kill_filter(_type="replica")
        await asyncio.sleep(lost_s)
        self.primary.kill()
        with admin_of(port=self.replica.port) as admin:
            admin.replicaof("NO", "ONE")
        self.primary = self.replica
        self.switch.cut()
        self.replica = _server(self.stack, self.binary, follows=self.primary.port)
        await self.in_step()

    async def in_step(self) -> None:
        """Wait until the replica follows."""
        deadline = asyncio.get_running_loop().time() + _IN_STEP_S
        with admin_of(port=self.replica.port) as admin:
            while admin.info("replication").get("master_link_status") != "up":
                assert asyncio.get_running_loop().time() < deadline, "the new replica does not follow"
                await asyncio.sleep(0.05)

    def flush(self) -> None:
        """Let Redis forget everything."""
        with self.admin() as admin:
            admin.flushall()


def _server(stack: ExitStack, binary: str, follows: int | None = None) -> Server:
    options = _RIGHTS if follows is None else (*_RIGHTS, "--replicaof", f"127.0.0.1 {follows}")
    return stack.enter_context(
        running_server(binary, *options, "--masteruser", "replication", "--masterauth", "r", port=free_port())
    )


@asynccontextmanager
async def redis_pair(binary: str) -> AsyncIterator[RedisPair]:
    """A primary and its replica, empty."""
    with ExitStack() as stack:
        primary = _server(stack, binary)
        replica = _server(stack, binary, follows=primary.port)
        found: list[RedisPair] = []

        async def to_primary() -> Streams | None:
            return await found[0].connect()

        async with relay_to(to_primary) as switch:
            found.append(RedisPair(binary, stack, primary, replica, switch))
            await found[0].in_step()
            yield found[0]
