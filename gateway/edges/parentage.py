"""Children that never outlive their parent, on Linux."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

__all__ = ["die_with_parent"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None)  # looked up here, since nothing may be loaded between fork and exec


def die_with_parent() -> Callable[[], None] | None:
    """What a child is to run before its program: it is told to end (SIGTERM) when this process is gone.

    None where the system has no such thing. The thread that starts the child must live as long as the process.
    """
    if sys.platform != "linux":
        return None
    parent = os.getpid()

    def in_child() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died between fork and here
            os._exit(1)

    return in_child
