"""Step 7 of 9 · make one image exactly what was asked for, check it, and put it into the store."""

from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Fault, Next, Picture
from gateway.domain.facts import ImageFinished
from gateway.domain.harvest import Finished
from gateway.domain.job import Job
from gateway.domain.picture import BadImage, Blob, ImageInfo
from gateway.edges.assets import StoreUnavailable
from gateway.edges.inspecting import inspect
from gateway.edges.pixels import PixelsUnavailable
from gateway.services import Services

__all__ = ["finish"]


async def finish(blob: Blob, picture: Picture, job: Job, services: Services, asset_id: str) -> Finished | Fault:
    """Read the image's true size and type from its bytes, change only what must change, and store it.

    Consumes `blob`. `asset_id` is the same however often the image is brought in. A Fault (everything was paid for)
    when the file is not the image it should be, or cannot be worked on or stored at the moment.
    """
    started = services.world.monotonic()
    fitted: Blob | BadImage = blob
    try:
        info = await inspect(blob)
        if isinstance(info, BadImage):
            return _fault(ErrorCode.UPSTREAM_BAD_RESPONSE, info.reason)
        if not _is_ready(info, job):
            fitted = await services.pixels.fit(blob, job.size, job.format, job.output_compression)
        if isinstance(fitted, BadImage):
            return _fault(ErrorCode.UPSTREAM_BAD_RESPONSE, fitted.reason)
        with services.traces.step("store"):
            await services.assets.put(asset_id, job.format, fitted, read_soon=not job.wants_url)
    except PixelsUnavailable as problem:
        return _fault(ErrorCode.INTERNAL_ERROR, str(problem))
    except StoreUnavailable as problem:
        return _fault(ErrorCode.ASSET_STORE_UNAVAILABLE, str(problem))
    finally:
        services.upstreams.remove(blob)
        if isinstance(fitted, Blob) and fitted is not blob:
            fitted.path.unlink(missing_ok=True)
    seconds = services.world.monotonic() - started
    services.tell(ImageFinished(job.model, fitted.length, job.size.pixels, fitted is not blob, seconds))
    return Finished(
        job.format,
        length=fitted.length,
        asset_id=asset_id,
        revised_prompt=picture.revised_prompt,
        emulated=_changes(info, job),
    )


def _is_ready(info: ImageInfo, job: Job) -> bool:
    return not _changes(info, job) and not info.animated and job.output_compression is None


def _changes(info: ImageInfo, job: Job) -> tuple[str, ...]:
    size = ("size",) if info.size != job.size else ()
    return (*size, "format") if info.format is not job.format else size


def _fault(code: ErrorCode, detail: str) -> Fault:
    vendor = code is ErrorCode.UPSTREAM_BAD_RESPONSE
    return Fault(code, Next.STOP, may_have_billed=True, counts_against_vendor=vendor, detail=detail)
