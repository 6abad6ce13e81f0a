"""All workloads by name, in the order in which they are run."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bench import durable, fanout, inflight, linear, memory, slow_clients, small, start, through, transcode
from bench.results import Outcome, Plan

__all__ = ["WORKLOADS"]

WORKLOADS: Mapping[str, Callable[[Plan], Outcome]] = MappingProxyType(
    {
        "small": small.run,
        "durable": durable.run,
        "b64": through.run,
        "transcode": transcode.run,
        "fanout": fanout.run,
        "memory": memory.run,
        "inflight": inflight.run,
        "start": start.run,
        "linear": linear.run,
        "slow": slow_clients.run,
    }
)
