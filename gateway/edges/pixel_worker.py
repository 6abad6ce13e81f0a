"""A child process that decodes, scales and encodes pictures, one at a time: `python -m gateway.edges.pixel_worker`.

Pictures come from outside and image libraries are large C programs, so this process is one that may die: it has
no secrets, little memory, bounded time, and nobody's connections. `edges/pixels.py` starts it and ends it.
"""

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path
from typing import BinaryIO

import pyvips

from gateway.domain.picture import ImageFormat, Size
from gateway.edges.pixel_protocol import READY, Broken, FitJob, Fitted, Reply, Unfit, read_job, written
from gateway.policies.image_structure import CORRUPT, NOT_A_PICTURE, TOO_LARGE, fits_in_memory

__all__ = ["main"]

# The readers of the three formats we take, by class and by name; every other one of libvips is switched off.
_LOADERS = {"VipsForeignLoadPng": "pngload", "VipsForeignLoadJpeg": "jpegload", "VipsForeignLoadWebp": "webpload"}
# Address space, of which some 150 MB are reservations of threads that are never touched. Measured at 8.18: 190 MB
# for 1024 x 1024 (47 MB resident), 876 MB for 4096 x 4096 with alpha from WebP to WebP, the costliest we permit.
_MEMORY_BYTES = 1024 << 20
_FILE_BYTES = 256 << 20  # far above 17 megapixels of incompressible PNG
_NICENESS = 5  # the event loop answers first when processors are short
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_WHITE = [255, 255, 255]


def main() -> None:
    """Serve jobs from standard input until it ends."""
    replies = _take_standard_output()
    _bind_to_parent()
    _bound_resources()
    _restrict_libvips()
    replies.write(READY)
    for line in sys.stdin.buffer:
        replies.write(written(_serve(read_job(line))))


def _take_standard_output() -> BinaryIO:
    """Keep the pipe for replies alone: whatever a library prints goes to standard error."""
    private = os.dup(1)
    os.dup2(2, 1)
    return open(private, "wb", buffering=0)  # noqa: PTH123 a descriptor, not a path; open for life


def _bind_to_parent() -> None:
    """Die with the gateway, however it dies, but not by signals that mean the gateway: it may still need us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _bound_resources() -> None:
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
    if sys.platform == "linux":  # elsewhere the address space of a fresh process already exceeds any useful bound
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


def _restrict_libvips() -> None:
    pyvips.cache_set_max(0)
    pyvips.block_untrusted_set(state=True)
    pyvips.operation_block_set("VipsForeignLoad", state=True)
    for loader in _LOADERS:
        pyvips.operation_block_set(loader, state=False)


def _serve(job: FitJob) -> Reply:
    _allow_processor_time(job.cpu_s)
    try:
        encoded = _fit(job)
        if isinstance(encoded, Unfit):
            return encoded
        _write_new(Path(job.target), encoded)
    except pyvips.Error as error:
        return Broken("out of memory") if "out of memory" in str(error) else Unfit(CORRUPT)
    except MemoryError:
        return Broken("out of memory")
    except OSError as error:
        return Broken(error.strerror or "disk")
    return Fitted(len(encoded))


def _allow_processor_time(seconds: int) -> None:
    """A ceiling for one job: the kernel counts from the birth of the process, and kills when it is passed."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds + 1, hard))


def _fit(job: FitJob) -> bytes | Unfit:
    picture = _opened(job.source)
    objection = _objection(picture, Size(job.width, job.height))
    return Unfit(objection) if objection else _encoded(_scaled(picture, job), job)


def _opened(source: str) -> "pyvips.Image | None":
    """The picture with its header read and no pixel decoded; None for a file that none of our readers knows."""
    try:
        return pyvips.Image.new_from_file(source, access="sequential", fail_on="error")
    except pyvips.Error:
        return None


def _objection(picture: "pyvips.Image | None", wanted: Size) -> str | None:
    if picture is None or picture.get("vips-loader") not in _LOADERS.values():
        return NOT_A_PICTURE
    size = Size(picture.width, picture.height)
    if not fits_in_memory(size):
        return TOO_LARGE
    upright = Size(size.height, size.width) if _lies_on_its_side(picture) else size
    if not upright.same_shape_as(wanted):
        return "other aspect ratio"
    return None if upright.covers(wanted) else "too few pixels"


def _lies_on_its_side(picture: pyvips.Image) -> bool:
    return "orientation" in picture.get_fields() and picture.get("orientation") >= 5  # EXIF: 5..8 swap the edges


def _scaled(picture: pyvips.Image, job: FitJob) -> pyvips.Image:
    """Upright, 8 bits of sRGB a channel, and exactly the size: libvips scales by Lanczos, alpha premultiplied."""
    how: dict[str, object] = {"height": job.height, "size": "force"}
    if _needs_colour_management(picture):
        how["output_profile"] = "srgb"
    if picture.get("vips-loader") == "jpegload":
        # A JPEG can be opened at a half, a quarter or an eighth; Lanczos then does at least the last halving.
        scaled = pyvips.Image.thumbnail(job.source, job.width, fail_on="error", **how)
    else:
        scaled = picture.thumbnail_image(job.width, **how)
    return scaled.colourspace("srgb").cast("uchar")


def _needs_colour_management(picture: pyvips.Image) -> bool:
    """Whether the numbers mean other colours than sRGB's. Asked for without need it doubles the time of a job."""
    return "icc-profile-data" in picture.get_fields() or picture.interpretation == "cmyk"


def _encoded(picture: pyvips.Image, job: FitJob) -> bytes:
    if job.format is ImageFormat.PNG:
        # Measured: the default filter makes files half as large again.
        return bytes(picture.pngsave_buffer(compression=6, filter="paeth", bitdepth=8, keep="none"))
    if job.format is ImageFormat.WEBP:
        return bytes(picture.webpsave_buffer(Q=job.quality, keep="none"))
    opaque = picture.flatten(background=_WHITE) if picture.hasalpha() else picture
    return bytes(opaque.jpegsave_buffer(Q=max(1, job.quality), keep="none"))


def _write_new(target: Path, data: bytes) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 a descriptor, not a path
        file.write(data)


if __name__ == "__main__":
    main()
