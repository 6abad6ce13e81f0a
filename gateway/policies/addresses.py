"""Where the gateway may speak to: the guard against forged links (SSRF), as pure functions.

Two questions, both asked every time: may this link be followed (`judge_url`), and may this resolved address be
connected to (`judge_address`)? A name that passes the first can still be made to point inwards.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

__all__ = ["Allowed", "Origin", "Reason", "Refused", "is_loopback", "judge_address", "judge_url", "origin_of"]


class Reason(StrEnum):
    """Why an address is out of bounds. Closed, so that it can label a metric."""

    MALFORMED = "malformed"
    SCHEME = "scheme"
    USERINFO = "userinfo"
    PORT = "port"
    HOST = "host"
    ADDRESS_LITERAL = "address_literal"
    NUMERIC_HOST = "numeric_host"
    LOOPBACK = "loopback"
    PRIVATE = "private"
    LINK_LOCAL = "link_local"
    METADATA = "metadata"
    MULTICAST = "multicast"
    RESERVED = "reserved"
    TRANSITION = "transition"


@dataclass(frozen=True, slots=True)
class Refused:
    """Do not speak to it."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port, all in their plainest form: lower case, port always given."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Allowed:
    """It may be spoken to, at `origin`."""

    origin: Origin


_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?:[/?#].*)?")
_PLAIN = re.compile(r"[\x21-\x5b\x5d-\x7e]+")  # printable ASCII without the backslash, which parsers disagree about
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

_METADATA = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",  # AWS, Google, Azure, and others after them
            "169.254.170.2",  # AWS containers
            "168.63.129.16",  # Azure's host agent, a public address
            "100.100.100.200",  # Alibaba
            "192.0.0.192",  # Oracle
            "fd00:ec2::254",  # AWS over IPv6
            "fd20:ce::254",  # Google over IPv6
        ),
    )
)
# RFC 6890 and later; spelled out, because `is_global` says yes to several of them and moves with Python's version.
_RESERVED_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "240.0.0.0/4",
        ),
    )
)
_PRIVATE_4 = tuple(map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")))
_PRIVATE_6 = tuple(map(IPv6Network, ("fc00::/7", "fec0::/10")))
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: what DNS64 makes of an IPv4-only host; judged by what is inside
_MAPPED = IPv6Network("::ffff:0:0/96")
_TRANSITION = tuple(
    map(
        IPv6Network,
        (
            "::/96",  # IPv4-compatible
            "::ffff:0:0:0/96",  # IPv4-translated
            "64:ff9b:1::/48",  # local-use NAT64
            "2001::/32",  # Teredo
            "2002::/16",  # 6to4
        ),
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")  # all that has ever been given out; the rest is reserved
_RESERVED_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))


def judge_url(url: str, hosts: Iterable[str], own: Origin | None) -> Allowed | Refused:
    """Whether the link `url` may be followed.

    `hosts` are exact names, or `*.name` for any subdomain: https on port 443 only. `own` is the account's own
    address, which is allowed whatever its port; plain http only where that is loopback.
    """
    origin = origin_of(url)
    if isinstance(origin, Refused):
        return origin
    if origin == own:
        secure = origin.scheme == "https" or is_loopback(origin.host)
        return Allowed(origin) if secure else Refused(Reason.SCHEME)
    if origin.scheme != "https":
        return Refused(Reason.SCHEME)
    if _literal(origin.host) is not None:
        return Refused(Reason.ADDRESS_LITERAL)
    if not any(_covers(pattern, origin.host) for pattern in hosts):
        return Refused(Reason.HOST)
    return Allowed(origin) if origin.port == _PORTS["https"] else Refused(Reason.PORT)


def origin_of(url: str) -> Origin | Refused:
    """The origin of an absolute http or https URL, read so strictly that no two parsers could differ about it."""
    match = _URL.fullmatch(url) if _PLAIN.fullmatch(url) else None
    if match is None:
        return Refused(Reason.MALFORMED)
    scheme = match["scheme"].lower()
    if scheme not in _PORTS:
        return Refused(Reason.SCHEME)
    if "@" in match["authority"]:
        return Refused(Reason.USERINFO)
    authority = _AUTHORITY.fullmatch(match["authority"])
    if authority is None:
        return Refused(Reason.MALFORMED)
    host = _host(authority["host"].lower())
    if isinstance(host, Refused):
        return host
    port = int(authority["port"]) if authority["port"] else _PORTS[scheme]
    return Origin(scheme, host, port) if 0 < port < 65536 else Refused(Reason.PORT)


def is_loopback(host: str) -> bool:
    """Whether a configured host is this machine itself: `localhost` or a loopback address."""
    address = _literal(host)
    return host == "localhost" if address is None else address.is_loopback


def judge_address(address: str, *, loopback_allowed: bool) -> Refused | None:
    """Why a resolved IP address must not be connected to; None when it may be."""
    found = _literal(address)
    if found is None:
        return Refused(Reason.MALFORMED)
    if loopback_allowed and found.is_loopback:
        return None
    reason = _reason_4(found) if isinstance(found, IPv4Address) else _reason_6(found)
    return None if reason is None else Refused(reason)


def _reason_4(address: IPv4Address) -> Reason | None:
    if address in _METADATA:
        return Reason.METADATA
    if address.is_loopback:
        return Reason.LOOPBACK
    if address.is_link_local:
        return Reason.LINK_LOCAL
    if address.is_multicast:
        return Reason.MULTICAST
    if any(address in network for network in _PRIVATE_4):
        return Reason.PRIVATE
    if any(address in network for network in _RESERVED_4) or address.is_private:
        return Reason.RESERVED
    return None


def _reason_6(address: IPv6Address) -> Reason | None:
    if address in _NAT64 or address in _MAPPED:
        return _reason_4(IPv4Address(address.packed[-4:]))
    if address in _METADATA:
        return Reason.METADATA
    if address.is_loopback:
        return Reason.LOOPBACK
    if address.is_link_local or address.scope_id is not None:
        return Reason.LINK_LOCAL
    if address.is_multicast:
        return Reason.MULTICAST
    if any(address in network for network in _PRIVATE_6):
        return Reason.PRIVATE
    if any(address in network for network in _TRANSITION):
        return Reason.TRANSITION
    if address not in _GLOBAL_6 or any(address in network for network in _RESERVED_6):
        return Reason.RESERVED
    return None


def _host(text: str) -> str | Refused:
    if text.startswith("["):
        address = _literal(text[1:-1])
        return str(address) if isinstance(address, IPv6Address) else Refused(Reason.MALFORMED)
    if not _NAME.fullmatch(text):
        return Refused(Reason.MALFORMED)
    # Resolvers read 127.1, 0x7f000001 and 2130706433 as addresses; we read only the one plain form.
    if _NUMBER.fullmatch(text.rpartition(".")[2]) and _literal(text) is None:
        return Refused(Reason.NUMERIC_HOST)
    return text


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _covers(pattern: str, host: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:].lower())
    return host == pattern.lower()
