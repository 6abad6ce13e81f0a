"""What `helm test` runs in a pod: looks at the release from outside, and makes an image through a sandbox.

PUBLIC and ADMIN are `host:port` of the release. RELEASE_IS_A_SANDBOX says whether it may be asked for an image, or
whether that would cost money; then a gateway with a sandbox is started here, from the same image.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

SAMURAI = os.environ.get("SAMURAI", "/opt/samurai/bin/samurai")
CONFIG = os.environ.get("CONFIG", "/usr/share/samurai/config/sandbox.yaml")
KEY = "sk-samurai-Xt1ptIAh93wTPCwTqOtpueOrUbal6Y05fAvH"  # published with the sandbox, good for nothing else
PORTS = os.environ.get("PORTS", "8080 8081 8090").split()  # of our own gateway, its second one, its sandbox
DEADLINE_S = 120.0


def say(text: str) -> None:
    """One line for `helm test --logs`."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def call(address: str, method: str, path: str, body: object = None, key: str = "") -> tuple[int, bytes]:
    """One request; raises OSError or HTTPException where nobody answers."""
    connection = HTTPConnection(address, timeout=60)
    try:
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def wait_until_ready(address: str) -> None:
    """Wait for /readyz to say yes."""
    end, last = time.monotonic() + DEADLINE_S, "nobody answers"
    while time.monotonic() < end:
        try:
            status, body = call(address, "GET", "/readyz")
        except (OSError, HTTPException) as problem:
            last = str(problem)
        else:
            if status == 200:
                say(f"{address} is ready: {body.decode()}")
                return
            last = f"{status}: {body.decode()}"
        time.sleep(1)
    raise SystemExit(f"{address} is not ready after {DEADLINE_S:.0f} s: {last}")


def refuses_strangers(address: str) -> None:
    """Without a key there is a 401 in OpenAI's form."""
    status, body = call(address, "GET", "/v1/models")
    if status != 401 or "error" not in json.loads(body):
        raise SystemExit(f"{address}: a request without a key was answered with {status}")
    say(f"{address} refuses who has no key")


def make_image(address: str) -> None:
    """Make one, and fetch it by its link: the same path at this address, whatever name clients know it by."""
    order = {"model": "flux-schnell", "prompt": "a samurai at a gate", "size": "256x256", "output_format": "png"}
    status, body = call(address, "POST", "/v1/images/generations", order, KEY)
    if status != 200:
        raise SystemExit(f"{address}: no image, but {status}: {body.decode()}")
    link = urlsplit(json.loads(body)["data"][0]["url"])
    status, image = call(address, "GET", f"{link.path}?{link.query}")
    if status != 200 or not image.startswith(b"\x89PNG") or image[16:24] != b"\0\0\1\0\0\0\1\0":
        raise SystemExit(f"{address}: its link gave {status} and {len(image)} bytes, not a PNG of 256x256")
    say(f"{address} made an image of {len(image)} bytes, and its link works")


@contextmanager
def gateway_of_our_own() -> Iterator[str]:
    """A gateway with its sandbox in this pod; its address."""
    public, admin, sandbox = PORTS
    ports = ["--public-port", public, "--admin-port", admin, "--sandbox-port", sandbox]
    command = [SAMURAI, "serve", "--config", CONFIG, "--with-sandbox", *ports]
    with subprocess.Popen(command) as process:  # noqa: S603  the program that is tested
        try:
            wait_until_ready(f"127.0.0.1:{admin}")
            yield f"127.0.0.1:{public}"
        finally:
            process.terminate()


def main() -> None:
    """The whole test."""
    public = os.environ["PUBLIC"]
    wait_until_ready(os.environ["ADMIN"])
    refuses_strangers(public)
    if os.environ["RELEASE_IS_A_SANDBOX"] == "true":
        make_image(public)
    else:
        with gateway_of_our_own() as address:
            make_image(address)


if __name__ == "__main__":
    main()
