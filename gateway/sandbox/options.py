"""How a sandbox is set up, and the fixed fake credentials that it takes."""

from dataclasses import dataclass

__all__ = ["IDEOGRAM_KEY", "OPENAI_KEY", "REPLICATE_TOKEN", "VENDORS", "SandboxOptions"]

REPLICATE_TOKEN = "r8_sandbox"  # noqa: S105 - worth nothing outside the sandbox
OPENAI_KEY = "sk-sandbox-openai"
IDEOGRAM_KEY = "ideogram-sandbox"
VENDORS = ("replicate", "openai", "ideogram", "vertex")


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """`pace` is the share of the vendors' natural time that work takes: 0 is at once, 1 is as slow as they are.

    `speak_retired` brings models back to life that their vendors have shut down. `real_limits` applies the
    vendors' own rates and places in flight. `project` is the Google project of the metadata server.
    """

    pace: float = 0.0
    speak_retired: bool = False
    real_limits: bool = True
    project: str = "sandbox-project"
