"""What a reply should come to, written as plain data, and the comparison with what it came to."""

from typing import Any

from gateway.domain.exchange import Delivered, Fault, Inline, Outcome, Pending

__all__ = ["as_data"]


def as_data(outcome: Outcome) -> dict[str, Any]:
    """An outcome as the plain data that the sample replies carry; complete but for a fault's detail."""
    match outcome:
        case Delivered():
            kinds = {"inline" if isinstance(each.source, Inline) else "remote" for each in outcome.pictures}
            revised = {each.revised_prompt for each in outcome.pictures}
            assert len(kinds) == len(revised) == 1
            return {
                "delivered": len(outcome.pictures),
                "billed": outcome.billed,
                "withheld": outcome.withheld,
                "created": outcome.created,
                "source": kinds.pop(),
                "revised_prompt": revised.pop(),
            }
        case Pending():
            return {
                "pending": outcome.vendor_id,
                "cancellable": outcome.cancel is not None,
                "cancel_is_free": outcome.cancel_is_free,
            }
        case Fault():
            return {
                "fault": outcome.code.value,
                "next": outcome.next.value,
                "may_have_billed": outcome.may_have_billed,
                "counts_against_vendor": outcome.counts_against_vendor,
                "retry_after_s": outcome.retry_after_s,
                "transient_auth": outcome.transient_auth,
                **({"billed": outcome.billed} if outcome.billed else {}),
            }
