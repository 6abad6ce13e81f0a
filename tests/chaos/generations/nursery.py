"""Brings up gateway processes faster than the interpreter can: everything is imported once, and each life is a fork.

Run as `python -m tests.chaos.generations.nursery`. For each line `CONFIG<TAB>LOG` on its input it starts
`samurai serve --config CONFIG` in a process of its own, and answers with its number. Ends when its input does.
"""

import os
import signal
import sys
from contextlib import suppress

from gateway.cli import commands
from gateway.vendors import dialects


def _reap(_number: int, _frame: object) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _live(config: str, log: str) -> None:
    """Be the gateway, as if the program had been started with these words."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (os.open(log, os.O_WRONLY | os.O_APPEND), 1)):
        os.dup2(source, target)
        os.close(source)
    os.dup2(1, 2)
    sys.argv = ["samurai", "serve", "--config", config]
    commands()


def main() -> None:
    """Start one after another."""
    dialects()  # they are imported when first asked for
    signal.signal(signal.SIGCHLD, _reap)
    while line := os.read(0, 65_536):
        for order in line.decode().splitlines():
            child = os.fork()
            if child == 0:
                _live(*order.split("\t"))
                os._exit(1)
            os.write(1, f"{child}\n".encode())


if __name__ == "__main__":
    main()
