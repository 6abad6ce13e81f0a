"""The kinds of value that a configuration is written in, each with what a person is told when it is broken.

`expects` completes the sentence "expected …". A value itself is never repeated in a message: it may be a secret that
was put in the wrong place.
"""

from typing import Annotated

from msgspec import Meta

__all__ = [
    "ByteCount",
    "Delay",
    "Duration",
    "Host",
    "ModelId",
    "Money",
    "Name",
    "Network",
    "NoOrMore",
    "Percentage",
    "Port",
    "PositiveInt",
    "PriceFigure",
    "SizeText",
    "Text",
    "Url",
    "byte_count",
    "duration_s",
]

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_UNITS_BYTES = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

ByteCount = Annotated[
    str,
    Meta(
        pattern=r"^[1-9][0-9]{0,8}(KB|MB|GB|KiB|MiB|GiB)$",
        extra={"expects": "a number of bytes above nothing, such as 512MB or 2GiB"},
    ),
]

Duration = Annotated[
    str,
    Meta(
        pattern=r"^[1-9][0-9]{0,8}(ms|s|m|h)$",
        extra={"expects": "a duration above nothing, such as 500ms, 30s, 5m or 24h"},
    ),
]
Delay = Annotated[
    str,
    Meta(
        pattern=r"^(0|[1-9][0-9]{0,8})(ms|s|m|h)$",
        extra={"expects": "a duration, such as 0s, 500ms, 30s, 5m or 24h"},
    ),
]
PriceFigure = Annotated[
    float,
    Meta(ge=0.000001, le=1000, extra={"expects": "US dollars for one image, from 0.000001 to 1000, never 0"}),
]
Money = Annotated[
    float, Meta(ge=0.000001, le=1_000_000_000, extra={"expects": "US dollars above 0, as a plain number"})
]
NoOrMore = Annotated[int, Meta(ge=0, le=100, extra={"expects": "a whole number from 0 to 100"})]
PositiveInt = Annotated[int, Meta(ge=1, le=1_000_000_000, extra={"expects": "a whole number from 1 to 1000000000"})]
Percentage = Annotated[float, Meta(gt=0, le=1, extra={"expects": "a share above 0 and up to 1, such as 0.1"})]
Port = Annotated[int, Meta(ge=0, le=65535, extra={"expects": "a port from 1 to 65535, or 0 for any free one"})]
Text = Annotated[str, Meta(min_length=1, max_length=512, extra={"expects": "text of 1 to 512 characters"})]
Host = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9_.:-]{1,255}$", extra={"expects": "a host name or an address, such as 127.0.0.1"}),
]
Url = Annotated[str, Meta(min_length=1, max_length=2048, extra={"expects": "a URL"})]
Network = Annotated[str, Meta(min_length=1, max_length=64, extra={"expects": "a network such as 10.0.0.0/8"})]
Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        extra={"expects": "a name of at most 64 letters, digits, dots, dashes and underscores"},
    ),
]
ModelId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}$",
        extra={"expects": "a model id of at most 128 letters, digits and . _ : / @ -"},
    ),
]
SizeText = Annotated[
    str,
    Meta(pattern=r"^[1-9][0-9]{0,3}x[1-9][0-9]{0,3}$", extra={"expects": "a size in pixels such as 1024x1024"}),
]


def duration_s(text: str) -> float:
    """Seconds of a Duration or Delay, such as `500ms`, whose form was checked before."""
    number = text.rstrip("msh")
    return int(number) * _UNITS_S[text[len(number) :]]


def byte_count(text: str) -> int:
    """Bytes of a ByteCount, such as `512MB`, whose form was checked before."""
    number = text.rstrip("KMGiB")
    return int(number) * _UNITS_BYTES[text[len(number) :]]
