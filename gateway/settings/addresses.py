"""What is wrong with a URL, in words that never repeat it, since URLs hold passwords."""

import re
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

__all__ = [
    "is_loopback",
    "problem_with_api",
    "problem_with_link_base",
    "problem_with_redis",
    "problem_with_store",
    "problem_with_webhook",
    "store_directory",
]

_REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
_ALL_HOSTS_BUT_THE_LAST = re.compile(r"^([a-z]+\+(?:sentinel|cluster)://(?:[^/?#]*@)?)(?:[^/?#@,]+,)+")
_EMBEDDED = "embedded://"
_OBJECT_STORES = ("s3", "gs", "az")


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def problem_with_link_base(url: str) -> str | None:
    """Why `url` is no http or https address to build links from; None when it is one."""
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        return "expected an http or https URL with a host"
    if parts.username is not None or parts.password is not None:
        return "a user or password in a URL would be shown to everybody"
    return "expected a URL without ? and #" if parts.query or parts.fragment else None


def problem_with_api(url: str) -> str | None:
    """Why `url` is no address to send a credential to; None when it is one. Plain http only goes to loopback."""
    problem = problem_with_link_base(url)
    if problem is not None:
        return problem
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        return "plain http would show the credential to the network; only loopback may use it"
    return None


def problem_with_webhook(url: str) -> str | None:
    """Why `url` is no address to call at the end of an operation; None when it is one. A query is allowed."""
    parts = _split(url)
    if parts is None or parts.fragment:
        return "expected an https URL with a host"
    return problem_with_api(parts._replace(query="").geturl())


def problem_with_redis(url: str, *, may_hold_password: bool) -> str | None:
    """Why `url` is no address of a Redis; None when it is one."""
    if url == _EMBEDDED:
        return None
    parts = _split(_ALL_HOSTS_BUT_THE_LAST.sub(r"\1", url))
    if parts is None or parts.scheme not in _REDIS_SCHEMES or not (parts.netloc or parts.path):
        return f"expected {_EMBEDDED} or a URL that begins with one of {', '.join(_REDIS_SCHEMES)}"
    has_password = parts.password is not None or "password" in parts.query
    if has_password and not may_hold_password:
        return "a URL with a password is a secret: put it behind {env: NAME} or {file: path}"
    return None


def problem_with_store(url: str) -> str | None:
    """Why `url` is no place for images; None when it is one."""
    parts = _split(url)
    if parts is None or parts.scheme not in ("file", *_OBJECT_STORES):
        return "expected file:///directory, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
    if parts.query or parts.fragment or parts.username is not None:
        return "expected no user, ? or #: object stores take their credentials from the environment"
    if parts.scheme == "file":
        named = bool(parts.path.strip("/")) and not parts.netloc
        return None if named else "expected file:///directory, or file:directory beside the configuration file"
    return None if parts.netloc else "expected the name of a bucket or container"


def store_directory(url: str, beside: Path) -> Path | None:
    """The absolute directory of a `file:` URL that was checked before; None for an object store."""
    parts = urlsplit(url)
    return (beside / parts.path).resolve() if parts.scheme == "file" else None


def _split(url: str) -> SplitResult | None:
    if not (url.isascii() and url.isprintable()) or " " in url:
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for what is no port
    except ValueError:
        return None
    return parts
