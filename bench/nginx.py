"""nginx in its two parts: the mock vendor, whose replies are files, and the bare proxy that is the limit."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.servers import free_port

__all__ = ["PORT", "Nginx", "StartError", "await_port", "missing", "proxy", "vendor"]

PORT = b"@vendor-port@"
_START_S = 15.0
# Nothing here is tuned but what any proxy of a vendor has: connections to it are kept.
_CONFIG = """\
daemon off;
pid {folder}/pid;
error_log {folder}/error.log warn;
worker_processes 1;
worker_rlimit_nofile 65536;
{user}
events {{ worker_connections 32768; }}
http {{
  access_log off;
  default_type application/json;
  types {{ image/png png; application/json json; }}
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000000;
  client_max_body_size 16m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
{rest}
}}
"""
# A file answers POST, too: nginx's 405 becomes the file itself.
_VENDOR = """\
  server {{
    listen 127.0.0.1:{port} backlog=16384;
    location / {{ root {files}; error_page 405 =200 $uri; }}
  }}
"""
_PROXY = """\
  upstream vendor {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=16384;
    location / {{
      proxy_pass http://vendor;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_read_timeout 600s;
      proxy_buffering {buffering};
    }}
  }}
"""


class StartError(Exception):
    """A program did not start; the message says how it ended."""


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx."""

    pid: int
    port: int


def missing() -> str | None:
    """What to install; None where nginx is there."""
    return None if _program() else "nginx is missing: apt install nginx-light"


@contextmanager
def vendor(folder: Path, files: Mapping[str, bytes]) -> Iterator[Nginx]:
    """A vendor that answers each path of `files` with its bytes, whatever the method; PORT in them is its own."""
    port = free_port()
    for name, content in files.items():
        path = folder / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.replace(PORT, str(port).encode()))
    with _running(folder, _VENDOR.format(port=port, files=folder / "files"), port) as nginx:
        yield nginx


@contextmanager
def proxy(folder: Path, upstream: int, *, buffering: bool = True) -> Iterator[Nginx]:
    """A bare proxy before the vendor at port `upstream`, with nginx's own defaults."""
    port = free_port()
    text = _PROXY.format(port=port, upstream=upstream, buffering="on" if buffering else "off")
    with _running(folder, text, port) as nginx:
        yield nginx


@contextmanager
def _running(folder: Path, rest: str, port: int) -> Iterator[Nginx]:
    folder.mkdir(parents=True, exist_ok=True)
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, user=user, rest=rest))
    program = _program()
    if program is None:
        raise FileNotFoundError(missing())
    process = subprocess.Popen(
        [program, "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(config)], start_new_session=True
    )
    try:
        await_port(port, process)
        yield Nginx(process.pid, port)
    finally:
        process.terminate()
        process.wait()


def await_port(port: int, process: "subprocess.Popen[bytes]", deadline_s: float = _START_S) -> None:
    """Wait until somebody listens. Raises StartError if the process ends, or nobody does in time."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise StartError(f"{Path(str(process.args[0])).name} does not listen")  # type: ignore[index]


def _program() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
