"""Part of step 8 · what an operation's own page says of it, and telling its end to who asked not to wait."""

from typing import Any

import orjson

from gateway.domain.harvest import Harvest
from gateway.domain.money import dollars
from gateway.domain.record import OperationState, Record
from gateway.services import Services

__all__ = ["announce", "state_of"]

_STATUSES = {
    OperationState.RUNNING: "running",
    OperationState.COMPLETED: "completed",
    OperationState.UNKNOWN: "unknown",
}


def state_of(record: Record) -> dict[str, Any]:
    """How far an operation has come, and once it is over its costs and its error; without its images."""
    shown: dict[str, Any] = {
        "id": record.id,
        "object": "image.operation",
        "status": _STATUSES.get(record.state, "failed"),
        "model": record.job.model,
        "created": int(record.begun_s),
        "n": record.job.n,
        "images_ready": _ready(record),
    }
    if record.is_over:
        shown["cost_usd"] = dollars(Harvest(record.earlier).cost_microusd)
    if record.ended is not None:
        shown |= record.ended.error().envelope()
    return shown


def announce(record: Record, services: Services) -> None:
    """Send the end of an operation to its key's webhook, if it was begun to be asked about later and there is one.

    Images are not in it, but their links are where links were asked for.
    """
    if not record.asynchronous or not services.messenger.serves(record.key_id):
        return
    shown = state_of(record)
    is_home = not any(services.assets.is_aside(image.asset_id or "") for image in record.finished)
    if record.job.wants_url and record.links and is_home:
        images = zip(record.finished[: record.job.n], record.links, strict=False)
        data = [
            {"url": link} if image.revised_prompt is None else {"url": link, "revised_prompt": image.revised_prompt}
            for image, link in images
        ]
        shown["result"] = {"created": record.created, "data": data}
    services.messenger.send_soon(record.key_id, record.id, orjson.dumps(shown))


def _ready(record: Record) -> int:
    """How many images are kept, of earlier runs and of the present one."""
    present = sum(len(one.result.finished if one.result else one.stored) for one in record.attempts)
    return len(record.finished) + (0 if record.is_over else present)
