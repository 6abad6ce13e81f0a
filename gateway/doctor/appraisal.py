"""What a purchase tells: did it work, is the image what was asked for, are the replies what the dialect expects."""

from collections.abc import Iterator

from gateway.doctor.findings import Finding, Status
from gateway.doctor.purchases import Exchange, Order, Photo, Purchase
from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Fault
from gateway.domain.money import dollars
from gateway.domain.picture import BadImage, Size
from gateway.policies.drift import Drift, drift_of

__all__ = ["drift_in", "purchase_findings"]

_CHANGED = "the vendor has changed its API: --save the reply and mend the dialect"
_ADVICE = {
    ErrorCode.CONTENT_POLICY_VIOLATION: "a harmless prompt was refused: try again, then ask the vendor",
    ErrorCode.UPSTREAM_AUTH_FAILED: "replace the account's credential",
    ErrorCode.UPSTREAM_BILLING: "see the account's billing page",
    ErrorCode.UPSTREAM_MODEL_UNAVAILABLE: "configure a model that the account may use",
    ErrorCode.UPSTREAM_REJECTED_REQUEST: "check the target's parameters",
    ErrorCode.UPSTREAM_BAD_RESPONSE: _CHANGED,
}


def purchase_findings(purchase: Purchase) -> Iterator[Finding]:
    """One finding for the purchase, one for each image, one for each reply that was a success of its kind."""
    subject = f"bought {purchase.order.route_id}"
    yield _outcome(purchase, subject)
    for photo in purchase.photos:
        yield _image(photo, purchase.order, subject)
    for exchange in purchase.exchanges:
        if (drift := drift_in(exchange, purchase.order)) is not None:
            yield _reply(exchange, drift, purchase.order)


def drift_in(exchange: Exchange, order: Order) -> Drift | None:
    """How a reply differs from what its dialect expects; None for an error, and where a dialect declares nothing."""
    if not 200 <= exchange.reply.status < 300 or not order.dialect.reply_fields:
        return None
    refused = isinstance(exchange.outcome, Fault) and exchange.outcome.code is ErrorCode.CONTENT_POLICY_VIOLATION
    return drift_of(exchange.reply.json, order.dialect.reply_fields, is_over=exchange.is_over, is_refused=refused)


def _outcome(purchase: Purchase, subject: str) -> Finding:
    served_by, outcome = purchase.order.shot.target.served_by, purchase.outcome
    if isinstance(outcome, Fault):
        paid = ", perhaps paid for" if outcome.may_have_billed else ""
        seen = f"{served_by}: {outcome.code}{paid}: {outcome.detail}".rstrip(": ")
        return Finding(Status.FAILED, subject, seen, _ADVICE.get(outcome.code, "see the vendor's status page"))
    cost = dollars(outcome.billed * purchase.order.shot.target.price.highest)
    made = f"{len(outcome.pictures)} image in {purchase.seconds:.1f} s"
    seen = f"{served_by}: {made}, {outcome.billed} billed, at most ${cost}"
    if outcome.billed != 1 or outcome.withheld:
        return Finding(Status.WARNING, subject, f"{seen}, {outcome.withheld} withheld", "check it against the bill")
    return Finding(Status.OK, subject, seen)


def _image(photo: Photo, order: Order, subject: str) -> Finding:
    match photo.info:
        case Fault(code=code, detail=detail):
            return Finding(Status.FAILED, subject, f"the image cannot be fetched: {code}: {detail}", _CHANGED)
        case BadImage(reason=reason):
            return Finding(Status.FAILED, subject, f"the image is unusable: {reason}", _CHANGED)
        case info:
            kind = info.format.value if info.format else "a foreign format"
            seen = f"{info.size} {kind}, {photo.length_bytes} bytes"
    asked = f"{order.shot.size} {order.shot.format.value}"
    if info.size == order.shot.size and info.format is order.shot.format:
        return Finding(Status.OK, subject, seen)
    status = Status.WARNING if _can_be_fitted(info.size, order.shot.size) else Status.FAILED
    return Finding(status, subject, f"{seen}, though {asked} was asked for", "users get what they ask for, at a cost")


def _can_be_fitted(got: Size, asked: Size) -> bool:
    """Whether the gateway makes the asked size out of it: it shrinks, and never enlarges, crops or stretches."""
    return got.covers(asked) and got.same_shape_as(asked)


def _reply(exchange: Exchange, drift: Drift, order: Order) -> Finding:
    subject = f"reply {order.route_id} {exchange.step}"
    parts = (("missing", drift.missing), ("changed type", drift.changed), ("new", drift.new))
    seen = "; ".join(f"{name}: {', '.join(paths)}" for name, paths in parts if paths)
    if drift.is_breaking:
        return Finding(Status.FAILED, subject, seen, _CHANGED)
    if drift.new:
        return Finding(Status.WARNING, subject, seen, "harmless to the gateway; --save it and tell the dialect")
    return Finding(Status.OK, subject, f"as {order.dialect.name} expects")
