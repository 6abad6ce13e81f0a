"""What it takes to be called back by vendors, in one value."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.edges.bells import Bells
from gateway.edges.webhook_secrets import WebhookSecrets
from gateway.policies.webhook_signing import TOLERANCE_S

__all__ = ["Callbacks", "Seen"]

_MOST_SEEN = 100_000  # of about 150 bytes each; 600 predictions a minute make 6,000 in the time that counts


class Seen:
    """The ids of calls that were taken, for as long as the same call could be believed again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at: OrderedDict[str, float] = OrderedDict()

    def __contains__(self, message_id: str) -> bool:
        return self._at.get(message_id, float("-inf")) > self._clock() - 2 * TOLERANCE_S

    def add(self, message_id: str) -> None:
        """Remember a call that was taken."""
        self._at[message_id] = self._clock()
        self._at.move_to_end(message_id)
        while len(self._at) > _MOST_SEEN or next(iter(self._at)) not in self:
            self._at.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Callbacks:
    """`url` is where vendors reach us, None where they are only asked. What the rest knows outlives a configuration."""

    url: str | None = None
    bells: Bells = field(default_factory=Bells)
    secrets: WebhookSecrets = field(default_factory=WebhookSecrets)
    seen: Seen = field(default_factory=Seen)
