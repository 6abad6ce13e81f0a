"""Debian's nginx and HAProxy before our servers, on free ports, with everything they write in a folder of their own."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from tests.servers import free_port

__all__ = ["FRONTS", "Front", "behind", "version_of"]

Front = Callable[[Path, Sequence[int]], AbstractAsyncContextManager[list[int]]]

_START_S = 10.0
_STOP_S = 5.0
_NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
{servers}
}}
"""
# Kept connections and unbuffered bodies: what a proxy's reading must agree on with ours
_NGINX_SERVER = """
  upstream b{front} {{ server 127.0.0.1:{back}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{front};
    location / {{
      proxy_pass http://b{front};
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_set_header Host $host;
      proxy_set_header Connection "";
      proxy_set_header X-Via nginx;
    }}
  }}
"""
_HAPROXY = """
global
  maxconn 512
defaults
  mode http
  timeout connect 2s
  timeout client 5s
  timeout server 5s
  timeout http-request 5s
{servers}
"""
_HAPROXY_SERVER = """
frontend f{front}
  bind 127.0.0.1:{front}
  http-request set-header X-Via haproxy
  default_backend b{front}
backend b{front}
  http-reuse always
  server s{front} 127.0.0.1:{back}
"""
_COMMANDS = {"nginx": ("nginx", "-p", "{folder}", "-c"), "haproxy": ("haproxy", "-db", "-f")}
_TEXTS = {"nginx": (_NGINX, _NGINX_SERVER), "haproxy": (_HAPROXY, _HAPROXY_SERVER)}
FRONTS = tuple(_COMMANDS)
"""The proxies by name."""


@contextlib.asynccontextmanager
async def behind(name: str, folder: Path, backends: Sequence[int]) -> AsyncIterator[list[int]]:
    """The proxy `name` with a port of its own before each of `backends`; yields these ports."""
    text, server = _TEXTS[name]
    ports = [free_port() for _ in backends]
    servers = "".join(server.format(front=front, back=back) for front, back in zip(ports, backends, strict=True))
    path = folder / f"{name}.conf"
    path.write_text(text.format(folder=folder, servers=servers))
    command = [part.format(folder=folder) for part in _COMMANDS[name]]
    command[0] = _program(name) or name
    log = (folder / f"{name}.log").open("wb")
    with log:
        process = subprocess.Popen([*command, str(path)], stdout=log, stderr=log, start_new_session=True)
        try:
            for port in ports:
                await _listening(port, process, folder / f"{name}.log")
            yield ports
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, _STOP_S)


async def _listening(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    async with asyncio.timeout(_START_S):
        while True:
            assert process.poll() is None, log.read_text()
            with socket.socket() as probe:
                probe.setblocking(False)
                with contextlib.suppress(OSError):
                    await asyncio.get_running_loop().sock_connect(probe, ("127.0.0.1", port))
                    return
            await asyncio.sleep(0.01)


def version_of(name: str) -> str | None:
    """What the machine has of it; None where it has none."""
    program = _program(name)
    if program is None:
        return None
    told = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
    words = (told.stdout or told.stderr).split()
    return next((word.rpartition("/")[2] for word in words if word[-1].isdigit() or "-" in word), name)


def _program(name: str) -> str | None:
    """Where it is; Debian keeps both where only root's own PATH leads."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
