import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.kernel import resident_bytes

SIZE = 64 << 20
HELD = f"held = bytearray(b'x') * {SIZE}; "


@contextmanager
def running(program: str, processes: int = 1) -> Iterator[int]:
    """A Python program, all of whose processes have said that they are ready; they end when their input does."""
    said = "os.write(1, b'ready\\n'); sys.stdin.read()"
    command = [sys.executable, "-c", f"import os, sys; {program}{said}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert [process.stdout.readline() for _ in range(processes)] == [b"ready\n"] * processes
        yield process.pid
        process.stdin.close()


def test_what_a_forked_process_shares_with_its_parent_counts_once() -> None:
    with running(HELD) as alone, running(f"{HELD}os.fork(); ", 2) as forked:
        assert SIZE < resident_bytes(alone) < resident_bytes(forked) < resident_bytes(alone) + SIZE // 2


def test_what_a_forked_process_has_made_its_own_counts() -> None:
    with running(f"{HELD}os.fork() or held.__setitem__(slice(None), b'y' * {SIZE}); ", 2) as changed:
        assert resident_bytes(changed) > 2 * SIZE


def test_a_child_with_a_program_of_its_own_counts_whole() -> None:
    started = f"import subprocess; child = subprocess.Popen([sys.executable, '-c', \"{HELD}input()\"], stdin=-1); "
    waited = "import time; [time.sleep(0.01) for _ in iter(lambda: "
    grown = (
        f"int(open(f'/proc/{{child.pid}}/statm').read().split()[1]) * {os.sysconf('SC_PAGESIZE')} > {SIZE}, True)]; "
    )
    with running(started + waited + grown) as parent:
        assert resident_bytes(parent) > SIZE
