"""What it was measured on: the machine and the versions, without a name or a path."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from bench import peers
from gateway.edges.embedded_valkey import find_server

__all__ = ["described", "in_words"]


def described() -> dict[str, str | int]:
    """The machine, and the release of everything that takes part."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE") / 1e9),
        "kernel": re.split(r"[-+]", platform.release())[0],
        "python": platform.python_version(),
        "nginx": _told("nginx", "-v", path="/usr/sbin:/usr/local/sbin"),
        "node": _told("node", "--version"),
        "wrk": _told("wrk", "-v"),
        "valkey": _told(find_server(), "--version"),
        "litellm": "missing",
        "portkey": "missing",
        **peers.versions(),
    }


def in_words(told: dict[str, str | int]) -> str:
    """One paragraph of it."""
    return (
        f"{told['cores']} shared cores ({told['processor']}), {told['memory_gb']} GB, Linux {told['kernel']}; "
        f"Python {told['python']}, nginx {told['nginx']}, Valkey {told['valkey']}, LiteLLM {told['litellm']}, "
        f"Portkey {told['portkey']} on node {told['node']}, wrk {told['wrk']}."
    )


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _told(name: str, flag: str, path: str = "") -> str:
    program = shutil.which(name) or (shutil.which(name, path=path) if path else None)
    if program is None:
        return "missing"
    done = subprocess.run([program, flag], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+(?:\.\d+)*", done.stdout + done.stderr)
    return found[0] if found else "unknown"
