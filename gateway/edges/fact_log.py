"""The facts that an operator wants to read in the log, with the vendor's own words where there are any."""

import structlog

from gateway.domain.facts import Fact, ShotEnded

__all__ = ["FactLog"]


class FactLog:
    """Listens to facts; writes a line for every vendor call that failed, and none for what went well."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("vendors")

    def __call__(self, fact: Fact) -> None:
        """Hear a fact."""
        if isinstance(fact, ShotEnded) and fact.code != "ok":
            self._log.warning(
                "vendor call failed",
                model=fact.model,
                account=fact.account,
                native_model=fact.native_model,
                code=fact.code,
                duration_s=round(fact.seconds, 3),
                delivered=fact.delivered,
                billed=fact.billed,
                detail=fact.detail,
            )
