"""The catalogue of faults: 115 rows, by their numbers, and why a few of them, or a vendor of them, are not shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["NOT_REPRODUCIBLE", "ROWS", "UPSTREAM", "VENDORS", "Row"]

VENDORS = ("replicate", "openai", "ideogram", "vertex")
UPSTREAM = range(78, 109)
"""Rows that are shown over each vendor that can suffer them."""


@dataclass(frozen=True)
class Row:
    """One fault. `vendors` are those it is shown over, none for a row without a vendor; `without` says why not all."""

    number: int
    what: str
    vendors: tuple[str, ...] = ()
    without: str = ""

    @property
    def id(self) -> str:
        return f"F{self.number:03}"


_WHAT = {
    # clients
    1: "no key, a malformed Authorization header, another scheme",
    2: "a key whose checksum is wrong",
    3: "a key that was revoked or has expired",
    4: "keys guessed from one address",
    5: "keys guessed by the time that a comparison takes",
    6: "two Authorization headers",
    7: "no Host, or two",
    8: "framing that two parsers read differently",
    9: "a POST that asks for an upgrade to h2c",
    10: "a thousand clients that drip their headers",
    11: "a body that drips or stalls",
    12: "five thousand connections that say nothing",
    13: "a client that does not read its reply",
    14: "a body above 64 KiB, announced, or endless in chunks",
    15: "a compressed body",
    16: "a body that is empty, no JSON, or no JSON object",
    17: "JSON nested deep, with huge numbers, NaN or Infinity",
    18: "a JSON key given twice",
    19: "odd characters in a prompt",
    20: "prompts of 1,000 and of 1,001 code points",
    21: "an `n` that is no whole number from 1 to 10",
    22: "an unknown model, size or response format",
    23: "fields nobody knows",
    24: "line breaks where a header or a log line could be forged",
    25: "a client that leaves before anything was sent",
    26: "a client that leaves after the paid call was sent",
    27: "an Idempotency-Key again, after success",
    28: "an Idempotency-Key again, meanwhile",
    29: "an Idempotency-Key again, with another body",
    30: "an Idempotency-Key that another tenant uses too",
    31: "a malformed Idempotency-Key",
    32: "the stock SDK's own retry, without a key",
    33: "a retry count that is made up",
    34: "image links guessed, altered or out of date",
    35: "a Range header with thousands of ranges",
    36: "a thousand pipelined requests",
    37: "forwarded-for headers from somebody who is no proxy of ours",
    38: "other methods than the endpoint's",
    # the process and its platform
    39: "SIGTERM while paid work is under way",
    40: "SIGTERM, and work that outlasts the drain",
    41: "SIGKILL at any moment",
    42: "a replica frozen for a minute that wakes up again",
    43: "an event loop that stands still for seconds",
    44: "more image bytes in flight than the budget",
    45: "a processor that is overloaded",
    46: "no file descriptor left",
    47: "an image worker that dies, hangs or eats memory",
    48: "a vendor's image that is a decompression bomb",
    49: "a configuration that is broken when it is reloaded",
    50: "a configuration that is half written, or swapped by a link",
    51: "limits that change while requests are under way",
    52: "a replica's clock that jumps by an hour",
    53: "a Redis server's clock that jumps back",
    54: "a reader of the log that has stopped",
    55: "secrets in logs, metrics, errors",
    56: "label values that callers make up",
    57: "names that do not resolve",
    58: "vendors, or Redis, that are away at the start",
    59: "two versions of the gateway side by side",
    60: "a store that is full when a pod starts",
    # Redis
    61: "Redis is away at the start",
    62: "Redis is killed",
    63: "Redis falls silent",
    64: "Redis is slow",
    65: "a reply of Redis is lost after the script ran",
    66: "a failover of Redis loses acknowledged writes",
    67: "Redis has become a read-only replica",
    68: "Redis was flushed",
    69: "Redis is out of memory",
    70: "Redis may evict what must stay",
    71: "scripts were flushed",
    72: "Redis is loading, busy, or without a master",
    73: "credentials for Redis are taken away",
    74: "one replica sees Redis and another does not",
    75: "calls to Redis are cancelled at any moment",
    76: "the pool of connections to Redis is used up",
    77: "the holder of a lease dies",
    # vendors
    78: "no connection: refused, no such name, TLS that cannot be trusted",
    79: "a connection that is reset while the request is written",
    80: "headers that come too late",
    81: "a body that drips",
    82: "a body that is cut",
    83: "HTML where JSON was due",
    84: "a body without end",
    85: "JSON that is malformed, too deep, or of another shape",
    86: "an error inside a 200",
    87: "the vendor rejects the request as we put it",
    88: "the vendor's safety system refuses",
    89: "the vendor does not take our key",
    90: "the account cannot pay",
    91: "a 429 with a time to wait",
    92: "a 429 without one",
    93: "a 429 with a time that makes no sense",
    94: "a vendor that answers every call with 500",
    95: "a vendor that is up and down by turns",
    96: "a prediction that never ends",
    97: "fewer images than were asked for",
    98: "images of a batch withheld by a safety check",
    99: "an output link that is gone",
    100: "an output link that leads inwards or elsewhere",
    101: "a file that is no image, or not the image asked for",
    102: "an image of another size, animated, in CMYK or 16 bits",
    103: "reply headers without number, or that a client must not see",
    104: "a kept connection that the vendor closes as we send",
    105: "a webhook that is forged, late or comes twice",
    106: "Google's token endpoint is down, slow, or takes a token back",
    107: "a reply that comes after our deadline",
    108: "statuses, enum values and fields that the API did not have before",
    # images and money
    109: "an image store that is down or slow",
    110: "an image store that is full or cannot be written",
    111: "a crash in the middle of a write",
    112: "the janitor deletes what is still needed",
    113: "a hundred calls at once for the last cent",
    114: "a model without a price",
    115: "an operation across midnight",
}

_LINKS = ("replicate", "ideogram", "openai")
_WITHOUT = {
    96: (("replicate",), "only Replicate's work has a life of its own; the other three answer the call itself"),
    98: (("replicate", "ideogram", "vertex"), "OpenAI refuses a call as a whole and never single images"),
    99: (_LINKS, "Vertex sends images inside its replies and has no links"),
    100: (_LINKS, "Vertex sends images inside its replies, and a link in one is not looked at"),
    105: (("replicate",), "only Replicate's dialect takes webhooks"),
    106: (("vertex",), "only Vertex is called with tokens that expire"),
}


def _row(number: int, what: str) -> Row:
    if number not in UPSTREAM:
        return Row(number, what)
    vendors, without = _WITHOUT.get(number, (VENDORS, ""))
    return Row(number, what, vendors, without)


ROWS: Mapping[int, Row] = MappingProxyType({number: _row(number, what) for number, what in _WHAT.items()})

NOT_REPRODUCIBLE: Mapping[int, str] = MappingProxyType({})
"""Rows that one machine cannot show, and why."""
