"""One image process as its parent sees it: started, asked, and killed when it does not answer."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import msgspec

from gateway.edges.pixel_protocol import READY, FitJob, Reply, read_reply, written

__all__ = ["ChildLostError", "PixelChild"]

_WORKER = "gateway.edges.pixel_worker"
_START_S = 20.0  # a cold page cache on a busy machine; usually a tenth of a second
_GOODBYE_S = 2.0

# The whole environment of a child: nothing of ours, where the credentials are. One thread of work and two malloc
# arenas, since each arena takes 64 MB of the address space that the child is bounded by.
_ENVIRONMENT = {
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "VIPS_CONCURRENCY": "1",
    "MALLOC_ARENA_MAX": "2",
    "LC_ALL": "C.UTF-8",
}


class ChildLostError(Exception):
    """The child died, hung or talked nonsense; it is gone now."""


class PixelChild:
    """A place for one child process, which is started when there is none. Takes one job at a time.

    `jobs` counts what the present process has done, `lost` how many processes died or were killed in a job.
    """

    def __init__(self) -> None:
        self.jobs = 0
        self.lost = 0
        self._process: Process | None = None
        self._killed = False

    @property
    def pid(self) -> int | None:
        """The present process, None while there is none."""
        alive = self._process and self._process.returncode is None and not self._killed
        return self._process.pid if self._process and alive else None

    async def start(self) -> None:
        """Have a process that is ready for a job. Raises ChildLostError when it does not get ready."""
        if self.pid is not None:
            return
        await self.stop()
        try:
            self._process = await self._spawn()
        except OSError as error:
            raise ChildLostError("cannot be started") from error
        self.jobs, self._killed = 0, False
        if await self._exchange(b"", _START_S) != READY:
            self._kill()
            raise ChildLostError("did not start")

    async def ask(self, job: FitJob, within_s: float) -> Reply:
        """Do one job. Raises ChildLostError when the process dies or is not done within `within_s` seconds."""
        await self.start()
        try:
            reply = read_reply(await self._exchange(written(job), within_s))
        except msgspec.DecodeError as error:
            self._kill()
            raise ChildLostError("answered nonsense") from error
        self.jobs += 1
        return reply

    async def stop(self) -> None:
        """End the process, if there is one: politely, then by force."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _spawn(self) -> Process:
        # A session of its own keeps a terminal's Ctrl-C away; -P keeps the working directory off its import path.
        return await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", _WORKER, stdin=PIPE, stdout=PIPE, env=_ENVIRONMENT, start_new_session=True
        )

    async def _exchange(self, line: bytes, within_s: float) -> bytes:
        """Send a line and wait for one. Whatever keeps us from having it, the process is dead afterwards."""
        answer = b""
        try:
            async with asyncio.timeout(within_s):
                answer = await self._talk(line)
        except (TimeoutError, OSError) as error:
            raise ChildLostError("did not answer") from error
        finally:
            if not answer.endswith(b"\n"):
                self._kill()
        if not answer:
            raise ChildLostError("died")
        return answer

    async def _talk(self, line: bytes) -> bytes:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            return b""
        process.stdin.write(line)
        await process.stdin.drain()
        return await process.stdout.readline()

    def _kill(self) -> None:
        self.lost += 1
        self._killed = True
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
