"""What can be wrong with Redis, in our words."""

from enum import StrEnum
from ssl import SSLError
from typing import Any

from redis import exceptions as foreign

__all__ = ["NO_OUTAGE", "Reason", "RedisUnavailable", "no_evalsha", "refuses_evalsha", "unavailable"]


class Reason(StrEnum):
    """Why Redis did not do as asked; also a metric's label."""

    REFUSED = "refused"
    TIMEOUT = "timeout"
    LOST = "lost"
    POOL = "pool"
    AUTH = "auth"
    TLS = "tls"
    READONLY = "readonly"
    OOM = "oom"
    LOADING = "loading"
    BUSY = "busy"
    CLUSTER = "cluster"
    ERROR = "error"


# A full pool and a command that failed by itself say nothing about the server's health.
NO_OUTAGE = frozenset({Reason.POOL, Reason.ERROR})

# In this order: the library's own classes overlap.
_REASONS: tuple[tuple[type[Exception], Reason], ...] = (
    (foreign.MaxConnectionsError, Reason.POOL),
    (foreign.AuthenticationError, Reason.AUTH),
    (foreign.AuthorizationError, Reason.AUTH),
    (foreign.AuthenticationWrongNumberOfArgsError, Reason.AUTH),
    (foreign.NoPermissionError, Reason.AUTH),
    (foreign.BusyLoadingError, Reason.LOADING),
    (foreign.ReadOnlyError, Reason.READONLY),
    (foreign.OutOfMemoryError, Reason.OOM),
    (foreign.ClusterError, Reason.CLUSTER),  # down, or a slot that is on the move for too long
    (foreign.TryAgainError, Reason.CLUSTER),
    (foreign.AskError, Reason.CLUSTER),  # and MOVED: the address is a cluster's, but does not say so
    (foreign.TimeoutError, Reason.TIMEOUT),
    (TimeoutError, Reason.TIMEOUT),
)

# Error codes that the library has no class for.
_CODES = {"BUSY": Reason.BUSY, "MISCONF": Reason.READONLY, "NOREPLICAS": Reason.READONLY}

_BROKEN = (ConnectionResetError, BrokenPipeError)


class RedisUnavailable(Exception):  # noqa: N818 - it is a state to be handled, and reads so at every `except`
    """Redis did not do as asked. Whether a command was carried out is unknown: repeat only what may be repeated.

    `detail` is the server's own wording, for the log.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"Redis is unavailable: {reason}")
        self.reason = reason
        self.detail = detail


def no_evalsha(reply: Any) -> bool:
    """Whether a reply says that this server, or what stands before it, knows no EVALSHA."""
    return isinstance(reply, foreign.ResponseError) and refuses_evalsha(reply)


def refuses_evalsha(error: foreign.ResponseError) -> bool:
    """The same, of an error that is one of the server's."""
    text = str(error).lower()
    return any(words in text for words in ("evalsha", "unknown command", "unsupported", "not supported"))


def unavailable(error: Exception) -> RedisUnavailable:
    """The one exception that stands for all of the client's."""
    return RedisUnavailable(_reason(error), str(error))


def _reason(error: Exception) -> Reason:
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    if isinstance(error, foreign.RedisClusterException):
        # Where no node would have us, the last one's reason comes wrapped.
        return _reason(error.__cause__) if isinstance(error.__cause__, foreign.RedisError) else Reason.CLUSTER
    if isinstance(error, foreign.ConnectionError):
        if isinstance(error.__cause__, foreign.RedisError):
            return _reason(error.__cause__)  # what went wrong in the handshake comes wrapped
        if isinstance(error.__context__, SSLError):
            return Reason.TLS
        if isinstance(error.__cause__, TimeoutError):
            return Reason.POOL  # the queue for a connection was too long
        never_connected = isinstance(error.__context__, OSError) and not isinstance(error.__context__, _BROKEN)
        return Reason.REFUSED if never_connected else Reason.LOST
    if isinstance(error, OSError):
        return Reason.LOST
    return _CODES.get(str(error).partition(" ")[0], Reason.ERROR)
