"""What the gateway and its image processes say to each other: one JSON object a line, files by path.

Apart from both ends, so that the gateway's own process never loads an image library.
"""

import msgspec

from gateway.domain.picture import ImageFormat

__all__ = ["READY", "Broken", "FitJob", "Fitted", "Reply", "Unfit", "read_job", "read_reply", "written"]

READY = b'"ready"\n'
"""A child's first line: everything is loaded and every bound is set."""


class FitJob(msgspec.Struct, frozen=True):
    """Scale the picture in the file `source` to exactly this size and write it to the new file `target`.

    `quality` is 0..100 and means nothing for PNG. `cpu_s` bounds the processor time of the job.
    """

    source: str
    target: str
    width: int
    height: int
    format: ImageFormat
    quality: int
    cpu_s: int


class Fitted(msgspec.Struct, frozen=True, tag=True):
    """The target was written and has `length` bytes."""

    length: int


class Unfit(msgspec.Struct, frozen=True, tag=True):
    """The picture cannot become what was asked for; another try would end the same."""

    reason: str


class Broken(msgspec.Struct, frozen=True, tag=True):
    """The child could not do its work, through no fault of the picture: no memory, no disk."""

    reason: str


Reply = Fitted | Unfit | Broken

_jobs = msgspec.json.Decoder(FitJob)
_replies: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)
_encoder = msgspec.json.Encoder()


def written(message: FitJob | Reply) -> bytes:
    """One message as a line, with its end."""
    return _encoder.encode(message) + b"\n"


def read_job(line: bytes) -> FitJob:
    """The job in a line. Raises msgspec.ValidationError or DecodeError."""
    return _jobs.decode(line)


def read_reply(line: bytes) -> Reply:
    """The reply in a line. Raises msgspec.ValidationError or DecodeError."""
    return _replies.decode(line)
