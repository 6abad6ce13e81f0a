"""How the pool lives with children that die, hang, and are many pictures behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway.domain.picture import BadImage, Blob, ImageFormat, Size
from gateway.edges.pixels import Pixels, PixelsUnavailable
from tests.pictures import encoded, photo

DATA = encoded(photo(256, 256), "PNG")
ROOT = Path(__file__).parents[2]


@contextlib.asynccontextmanager
async def started(pixels: Pixels) -> AsyncIterator[Pixels]:
    await pixels.start()
    try:
        yield pixels
    finally:
        children = pixels.pids()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        await pixels.stop()
        assert pixels.pids() == ()
        assert not any(is_alive(pid) for pid in children)


async def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def freeze(pixels: Pixels) -> int:
    (pid,) = pixels.pids()
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: is_stopped(pid))
    return pid


def blob_in(directory: Path, name: str = "source", data: bytes = DATA) -> Blob:
    (directory / name).write_bytes(data)
    return Blob(directory / name, len(data))


async def fitted(pixels: Pixels, blob: Blob, edge: int = 128) -> Blob | BadImage:
    return await pixels.fit(blob, Size(edge, edge), ImageFormat.PNG)


async def test_a_child_killed_in_the_middle_of_a_job_is_replaced_and_the_job_done(tmp_path: Path) -> None:
    async with started(Pixels(1)) as pixels:
        pid = await freeze(pixels)
        job = asyncio.create_task(fitted(pixels, blob_in(tmp_path)))
        await until(lambda: pixels.load().busy == 1)
        os.kill(pid, signal.SIGKILL)
        made = await job
        assert isinstance(made, Blob)
        assert pixels.pids() != (pid,)
        assert pixels.load().lost == 1
        assert list(tmp_path.iterdir()) == [made.path]


async def test_a_child_that_died_between_two_jobs_is_replaced(tmp_path: Path) -> None:
    async with started(Pixels(1)) as pixels:
        (pid,) = pixels.pids()
        os.kill(pid, signal.SIGKILL)
        assert isinstance(await fitted(pixels, blob_in(tmp_path)), Blob)


async def test_a_child_that_hangs_is_killed_and_the_job_done_by_another(tmp_path: Path) -> None:
    async with started(Pixels(1, job_limit_s=0.5)) as pixels:
        pid = await freeze(pixels)
        started_at = time.monotonic()
        assert isinstance(await fitted(pixels, blob_in(tmp_path)), Blob)
        assert 0.5 <= time.monotonic() - started_at < 5
        assert not is_alive(pid)
        assert pixels.load().lost == 1


async def test_a_job_that_costs_two_children_is_given_up_and_its_source_kept(tmp_path: Path) -> None:
    async with started(Pixels(1)) as pixels:
        blob = blob_in(tmp_path)

        async def kill_every_child() -> None:
            while True:
                for pid in pixels.pids():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                await asyncio.sleep(0.005)

        await freeze(pixels)
        killer = asyncio.create_task(kill_every_child())
        with pytest.raises(PixelsUnavailable, match="image process"):
            await fitted(pixels, blob)
        killer.cancel()
        assert list(tmp_path.iterdir()) == [blob.path]
        assert isinstance(await fitted(pixels, blob), Blob), "the pool itself goes on"


async def test_a_disk_that_refuses_is_our_fault_not_the_pictures(tmp_path: Path) -> None:
    blob = blob_in(tmp_path)
    async with started(Pixels(1)) as pixels:
        before = pixels.pids()
        with blob.path.open("rb") as file:  # read from a directory in which nobody, not even root, can make files
            unwritable = Blob(Path(f"/proc/{os.getpid()}/fd/{file.fileno()}"), blob.length)
            with pytest.raises(PixelsUnavailable, match="failed"):
                await fitted(pixels, unwritable)
        assert pixels.pids() != before, "the second try was a fresh child's"
    assert blob.path.exists()


async def test_a_caller_that_goes_away_frees_its_child(tmp_path: Path) -> None:
    async with started(Pixels(1)) as pixels:
        pid = await freeze(pixels)
        job = asyncio.create_task(fitted(pixels, blob_in(tmp_path)))
        await until(lambda: pixels.load().busy == 1)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        await until(lambda: not is_alive(pid))
        assert pixels.load().busy == 0
        assert [path.name for path in tmp_path.iterdir()] == ["source"]
        assert isinstance(await fitted(pixels, blob_in(tmp_path)), Blob)


async def test_the_queue_is_bounded_and_its_waiting_time_shows(tmp_path: Path) -> None:
    async with started(Pixels(1, queue_limit=2)) as pixels:
        pid = await freeze(pixels)
        jobs = [asyncio.create_task(fitted(pixels, blob_in(tmp_path, f"{number}"))) for number in range(3)]
        await until(lambda: pixels.load().waiting == 2)
        await until(lambda: pixels.load().longest_wait_s > 0.01)
        with pytest.raises(PixelsUnavailable, match="wait"):
            await fitted(pixels, blob_in(tmp_path, "one too many"))
        os.kill(pid, signal.SIGCONT)
        assert all(isinstance(made, Blob) for made in await asyncio.gather(*jobs))
        load = pixels.load()
        assert (load.busy, load.waiting, load.longest_wait_s, load.lost) == (0, 0, 0.0, 0)


async def test_a_child_is_bounded_by_the_kernel() -> None:
    async with started(Pixels(1)) as pixels:
        (pid,) = pixels.pids()
        rows = [line.split("  ") for line in Path(f"/proc/{pid}/limits").read_text().splitlines()]
        limits = {row[0]: [cell.strip() for cell in row[1:] if cell.strip()] for row in rows}
        assert limits["Max core file size"][:2] == ["0", "0"]
        assert limits["Max address space"][:2] == [str(1 << 30)] * 2
        assert limits["Max file size"][:2] == [str(1 << 28)] * 2
        assert os.getpriority(os.PRIO_PROCESS, pid) > os.getpriority(os.PRIO_PROCESS, 0)


async def test_a_child_gets_a_processor_time_limit_with_every_job(tmp_path: Path) -> None:
    async with started(Pixels(1, job_limit_s=7)) as pixels:
        (pid,) = pixels.pids()
        await fitted(pixels, blob_in(tmp_path))
        (line,) = [
            row for row in Path(f"/proc/{pid}/limits").read_text().splitlines() if row.startswith("Max cpu time")
        ]
        assert 8 <= int(line.split()[3]) <= 12


async def test_a_child_knows_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    async with started(Pixels(1)) as pixels:
        (pid,) = pixels.pids()
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"VIPS_CONCURRENCY=1" in environment
        assert b"canary" not in environment


async def test_a_child_works_on_through_signals_meant_for_the_gateway(tmp_path: Path) -> None:
    async with started(Pixels(1)) as pixels:
        before = pixels.pids()
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(before[0], number)
        assert isinstance(await fitted(pixels, blob_in(tmp_path)), Blob)
        assert pixels.pids() == before


async def test_a_child_is_replaced_after_its_share_of_jobs(tmp_path: Path) -> None:
    async with started(Pixels(1, jobs_per_child=2)) as pixels:
        seen = []
        for number in range(4):
            seen.append(pixels.pids())
            assert isinstance(await fitted(pixels, blob_in(tmp_path, f"{number}")), Blob)
        assert seen[0] == seen[1]
        assert pixels.load().lost == 0
        assert not any(is_alive(pid) for pid in seen[0])


async def test_a_stopped_pool_starts_no_more_children(tmp_path: Path) -> None:
    pixels = Pixels(1)
    await pixels.start()
    await pixels.stop()
    with pytest.raises(PixelsUnavailable):
        await fitted(pixels, blob_in(tmp_path))
    assert pixels.pids() == ()


async def test_the_children_die_with_the_gateway_even_when_it_is_killed() -> None:
    program = (
        "import asyncio\n"
        "from gateway.edges.pixels import Pixels\n"
        "async def main():\n"
        "    pixels = Pixels(2)\n"
        "    await pixels.start()\n"
        "    print(*pixels.pids(), flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT, text=True) as gateway:
        assert gateway.stdout is not None
        pids = [int(word) for word in gateway.stdout.readline().split()]
        assert len(pids) == 2
        assert all(is_alive(pid) for pid in pids)
        os.kill(pids[0], signal.SIGSTOP)  # one that could not read the end of its input
        gateway.kill()
    try:
        await until(lambda: not any(is_alive(pid) for pid in pids))
    finally:
        for pid in filter(is_alive, pids):
            os.kill(pid, signal.SIGKILL)


def test_the_gateways_own_process_never_loads_an_image_library() -> None:
    program = (
        "import sys, gateway.edges.pixels, gateway.edges.inspecting; print([n for n in sys.modules if 'vips' in n])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_every_decoder_but_three_is_switched_off_in_a_child() -> None:
    program = (
        "import sys, pyvips\n"
        "from gateway.edges.pixel_worker import _restrict_libvips\n"
        "data = sys.stdin.buffer.read()\n"
        "print(pyvips.Image.new_from_buffer(data, '').width)\n"
        "_restrict_libvips()\n"
        "pyvips.Image.new_from_buffer(data, '')\n"
    )
    gif = encoded(photo(96, 64), "GIF")
    done = subprocess.run([sys.executable, "-c", program], input=gif, capture_output=True, check=False, cwd=ROOT)
    assert done.stdout == b"96\n"
    assert b"not in a known format" in done.stderr


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def resident_kb(pid: int) -> int:
    (line,) = [row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmRSS")]
    return int(line.split()[1])


@pytest.mark.slow
async def test_memory_and_descriptors_stay_flat_over_three_hundred_pictures(tmp_path: Path) -> None:
    small = encoded(photo(96, 96), "PNG")
    async with started(Pixels(2, jobs_per_child=130)) as pixels:

        async def round_of(count: int) -> None:
            jobs = (fitted(pixels, blob_in(tmp_path, f"in{number}", small), 48) for number in range(count))
            for made in await asyncio.gather(*jobs):
                assert isinstance(made, Blob)
                made.path.unlink()

        await round_of(40)
        descriptors, memory = open_descriptors(), resident_kb(os.getpid())
        children = max(resident_kb(pid) for pid in pixels.pids())
        for _ in range(6):
            await round_of(50)
        await until(lambda: open_descriptors() <= descriptors)
        assert resident_kb(os.getpid()) < memory + 4_000
        assert max((resident_kb(pid) for pid in pixels.pids()), default=0) < children + 8_000
        assert list(tmp_path.iterdir()) == []
