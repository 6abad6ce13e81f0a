import os
import resource
import subprocess
import sys
from pathlib import Path

from gateway.edges import machine


def proc(folder: Path, *, groups: str = "", memory_kib: int = 8_000_000) -> Path:
    (folder / "self").mkdir(parents=True)
    (folder / "self/cgroup").write_text(groups)
    (folder / "meminfo").write_text(f"MemFree: 1 kB\nMemTotal:  {memory_kib} kB\n")
    return folder


def test_the_tightest_group_above_us_is_the_limit(tmp_path: Path) -> None:
    groups = tmp_path / "cgroup"
    (groups / "pods/ours").mkdir(parents=True)
    (groups / "pods/ours/memory.max").write_text("max\n")
    (groups / "pods/memory.max").write_text("536870912\n")
    found = machine.memory_limit_bytes(proc(tmp_path / "proc", groups="0::/pods/ours\n"), groups)
    assert found == 536870912


def test_in_a_container_the_hosts_path_does_not_exist_and_what_is_mounted_counts(tmp_path: Path) -> None:
    groups = tmp_path / "cgroup"
    groups.mkdir()
    (groups / "memory.max").write_text("268435456")
    assert machine.memory_limit_bytes(proc(tmp_path / "proc", groups="0::/kubepods/x/y\n"), groups) == 268435456


def test_the_older_kind_of_group_is_read_too(tmp_path: Path) -> None:
    groups = tmp_path / "cgroup"
    (groups / "memory/docker/c1").mkdir(parents=True)
    (groups / "memory/docker/c1/memory.limit_in_bytes").write_text("1073741824")
    words = "3:cpu,cpuacct:/docker/c1\n2:memory:/docker/c1\n"
    assert machine.memory_limit_bytes(proc(tmp_path / "proc", groups=words), groups) == 1073741824


def test_without_a_group_all_of_the_machine_is_ours(tmp_path: Path) -> None:
    assert machine.memory_limit_bytes(proc(tmp_path / "proc"), tmp_path / "none") == 8_000_000 * 1024
    assert machine.memory_limit_bytes(tmp_path / "nothing", tmp_path / "none") is None


def test_children_count_as_ours() -> None:
    alone = machine.resident_bytes()
    assert alone > 1_000_000
    code = "block = b'x' * 50_000_000; print('ready', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        both = machine.resident_bytes()
        child.communicate(b"\n")
    assert both > alone + 40_000_000


def test_a_disk_has_room_and_a_missing_one_is_not_known(tmp_path: Path) -> None:
    assert (machine.free_disk_bytes(tmp_path) or 0) > 0
    assert machine.free_disk_bytes(tmp_path / "missing") is None


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one() -> None:
    code = (
        "import resource; hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1];"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard));"
        "from gateway.edges.machine import raise_open_files; found = raise_open_files();"
        "print(found == hard or hard == resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard)"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(machine.__file__).parents[2])}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True", "True"]
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 0


def test_giving_memory_back_does_no_harm() -> None:
    machine.give_memory_back()
    assert machine.resident_bytes() > 0


def test_many_threads_share_two_heaps() -> None:
    script = (
        "from gateway.edges.machine import share_arenas; share_arenas();"
        "import ctypes, threading; libc = ctypes.CDLL(None); libc.malloc.restype = ctypes.c_void_p;"
        "gate = threading.Barrier(17);"
        "threads = [threading.Thread(target=lambda: (libc.malloc(5000), gate.wait())) for _ in range(16)];"
        "[one.start() for one in threads]; gate.wait(); [one.join() for one in threads]; libc.malloc_stats()"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stderr
    assert told.count("Arena ") <= 2
