"""Every way in which Redis is deployed, each made of real servers of this machine."""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway.edges.embedded_valkey import EmbeddedValkey
from tests.certificates import Authority
from tests.servers import Server, admin_of, free_port, running_server

SERVICE = "images"
SLOTS = [(0, 5460), (5461, 10922), (10923, 16383)]
UP_DEADLINE_S = 15.0
# All that the gateway needs. TIME and INFO are in no group that one would want to grant.
RIGHTS = "resetkeys ~{samurai}:* resetchannels -@all +@read +@write +@scripting +@connection -@dangerous +time +info"
USER, PASSWORD = "gateway", "p@ss:w/rd"


@dataclass(frozen=True)
class Mode:
    """A deployment: its address for the gateway, its data servers' processes, a look into the one with our keys."""

    url: str
    pids: tuple[int, ...]
    admin: Callable[[], Any]

    def pause(self) -> None:
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in self.pids:
            os.kill(pid, signal.SIGCONT)


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + UP_DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, f"not {what} in time"
        time.sleep(0.02)


def _mode(url: str, server: Server) -> Mode:
    return Mode(url, (server.process.pid,), server.admin)


@contextmanager
def standalone(binary: str) -> Iterator[Mode]:
    with running_server(binary, port=(port := free_port())) as server:
        yield _mode(f"redis://127.0.0.1:{port}/0", server)


@contextmanager
def unix_socket(binary: str) -> Iterator[Mode]:
    with running_server(binary) as server:
        yield _mode(server.url, server)


@contextmanager
def acl(binary: str) -> Iterator[Mode]:
    """A user who may do no more than the gateway needs."""
    user = ("--user", USER, "on", f">{PASSWORD}", *RIGHTS.split())
    with running_server(binary, *user, port=(port := free_port())) as server:
        yield _mode(f"redis://{USER}:p%40ss%3Aw%2Frd@127.0.0.1:{port}/0", server)


@contextmanager
def certified(*, clients: bool = False) -> Iterator[tuple[list[str], str]]:
    """The options of servers that have certificates, and the query of an address that trusts them."""
    directory = Path(tempfile.mkdtemp(prefix="tls-"))
    try:
        authority = Authority(directory)
        own, theirs = authority.issue("server"), authority.issue("client")
        query = f"ssl_ca_certs={authority.file}"
        if clients:
            query += f"&ssl_certfile={theirs.certificate}&ssl_keyfile={theirs.key}"
        options = ["--tls-ca-cert-file", str(authority.file), "--tls-auth-clients", "yes" if clients else "no"]
        yield [*options, "--tls-cert-file", str(own.certificate), "--tls-key-file", str(own.key)], query
    finally:
        shutil.rmtree(directory)


def on_tls(port: int) -> tuple[str, str]:
    return "--tls-port", str(port)


@contextmanager
def tls(binary: str, *, clients: bool = False) -> Iterator[Mode]:
    """A server that speaks TLS only; with `clients`, to those whose certificate it trusts."""
    port = free_port()
    with certified(clients=clients) as (options, query), running_server(binary, *options, *on_tls(port)) as server:
        yield _mode(f"rediss://127.0.0.1:{port}/0?{query}", server)


@contextmanager
def mutual_tls(binary: str) -> Iterator[Mode]:
    with tls(binary, clients=True) as mode:
        yield mode


@contextmanager
def embedded(binary: str) -> Iterator[Mode]:
    """The server that the gateway starts by itself."""
    runner, valkey = asyncio.Runner(), EmbeddedValkey(binary=binary, durable=True)
    try:
        url = runner.run(valkey.start())
        assert valkey._process is not None
        path = url.removeprefix("unix://")
        yield Mode(url, (valkey._process.pid,), lambda: admin_of(unix_socket_path=path))
    finally:
        runner.run(valkey.stop())
        runner.close()


@dataclass(frozen=True)
class Guarded:
    """A primary with one replica, both watched by one sentinel."""

    primary: Server
    replica: Server
    url: str

    def caught_up(self) -> None:
        """Wait until the replica has all that the primary has."""
        with self.primary.admin() as admin:
            assert admin.wait(1, 5_000) == 1

    def cut(self) -> None:
        """From now on the primary acknowledges what its replica never hears of."""
        with self.primary.admin() as admin:
            admin.execute_command("ACL", "SETUSER", "replication", "off")
            admin.client_kill_filter(_type="replica")


@contextmanager
def guarded(binary: str, *, down_after_ms: int = 60_000) -> Iterator[Guarded]:
    """A primary, its replica and a sentinel that promotes it after `down_after_ms`."""
    ports = [free_port() for _ in range(3)]
    rights = ("--user", "replication", "on", ">r", "+psync", "+replconf", "+ping")
    follow = ("--replicaof", f"127.0.0.1 {ports[0]}", "--masteruser", "replication", "--masterauth", "r")
    sentinel = f"sentinel monitor {SERVICE} 127.0.0.1 {ports[0]} 1\n"
    sentinel += f"sentinel down-after-milliseconds {SERVICE} {down_after_ms}\n"
    with ExitStack() as stack:
        primary = stack.enter_context(running_server(binary, *rights, "--repl-diskless-sync-delay", "0", port=ports[0]))
        replica = stack.enter_context(running_server(binary, *follow, port=ports[1]))
        with replica.admin() as admin:
            until(lambda: admin.info("replication")["master_link_status"] == "up", "in step")
        watcher = stack.enter_context(running_server(binary, "--sentinel", port=ports[2], config=sentinel))
        with watcher.admin() as admin:
            until(lambda: admin.sentinel_master(SERVICE)["num-slaves"] == 1, "watched")
        yield Guarded(primary, replica, f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{ports[2]}/{SERVICE}/0")


@contextmanager
def sentinel(binary: str) -> Iterator[Mode]:
    with guarded(binary) as found:
        pids = (found.primary.process.pid, found.replica.process.pid)
        yield Mode(found.url, pids, found.primary.admin)


@contextmanager
def tls_sentinel(binary: str) -> Iterator[Mode]:
    """A primary and its sentinel, both on TLS only."""
    ports = [free_port() for _ in range(2)]
    config = f"sentinel monitor {SERVICE} 127.0.0.1 {ports[0]} 1\n"
    with (
        certified() as (options, query),
        running_server(binary, *options, *on_tls(ports[0])) as server,
        running_server(binary, "--sentinel", *options, *on_tls(ports[1]), "--tls-replication", "yes", config=config),
    ):
        yield _mode(f"rediss+sentinel://127.0.0.1:{ports[1]}/{SERVICE}/0?{query}", server)


@contextmanager
def cluster_nodes(binary: str, *more: str) -> Iterator[list[Server]]:
    """Three nodes with a third of the slots each. With options for TLS, their ports are on that."""
    with ExitStack() as stack:
        nodes: list[Server] = []
        ports = [free_port() for _ in SLOTS]
        for port, (first, last) in zip(ports, SLOTS, strict=True):
            options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
            made = stack.enter_context(
                running_server(binary, *options, *more, *(on_tls(port) if more else ()), port=0 if more else port)
            )
            node = replace(made, port=port)
            nodes.append(node)
            with node.admin() as admin:
                admin.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                for other in nodes[:-1]:
                    bus = other.admin().config_get("cluster-port")["cluster-port"]
                    admin.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port, bus)
        until(lambda: all(map(_complete, nodes)), "a cluster")
        yield nodes


def _complete(node: Server) -> bool:
    with node.admin() as admin:
        state = admin.execute_command("CLUSTER INFO")
        return (state["cluster_state"], state["cluster_known_nodes"]) == ("ok", "3")


def cluster_url(nodes: Sequence[Server]) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)


def owner_of_our_slot(nodes: Sequence[Server]) -> Server:
    """The node that holds the limiter's keys."""
    with nodes[0].admin() as admin:
        slot = admin.execute_command("CLUSTER", "KEYSLOT", "{samurai}")
    return next(node for node, (first, last) in zip(nodes, SLOTS, strict=True) if first <= slot <= last)


@contextmanager
def cluster(binary: str) -> Iterator[Mode]:
    with cluster_nodes(binary) as nodes:
        pids = tuple(node.process.pid for node in nodes)
        yield Mode(cluster_url(nodes), pids, owner_of_our_slot(nodes).admin)


@contextmanager
def tls_cluster(binary: str) -> Iterator[Mode]:
    with certified() as (options, query), cluster_nodes(binary, *options, "--tls-cluster", "yes") as nodes:
        pids = tuple(node.process.pid for node in nodes)
        url = cluster_url(nodes).replace("redis+", "rediss+")
        yield Mode(f"{url}/?{query}", pids, owner_of_our_slot(nodes).admin)


ENCRYPTED = (tls, mutual_tls, tls_sentinel, tls_cluster)
MODES = (standalone, unix_socket, acl, sentinel, cluster, embedded, *ENCRYPTED)
