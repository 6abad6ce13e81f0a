"""Everything a request needs, handed in as one frozen value."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from gateway.domain.catalogue import Capabilities, Catalogue, Target
from gateway.domain.exchange import Dialect
from gateway.domain.facts import Listener
from gateway.domain.harvest import Finished
from gateway.domain.money import Budget
from gateway.domain.record import Attempt, Record
from gateway.edges.admission import Admission
from gateway.edges.aside import SureAssets
from gateway.edges.callbacks import Callbacks
from gateway.edges.journal import Journal
from gateway.edges.journal_writer import JournalWriter
from gateway.edges.keys import Keys
from gateway.edges.limits import Limits
from gateway.edges.messenger import Messenger
from gateway.edges.pacing import Pacing
from gateway.edges.pixels import Pixels
from gateway.edges.targets import Targets
from gateway.edges.tracing import NO_TRACES, Traces
from gateway.edges.turns import Turns
from gateway.edges.upstreams import Upstreams
from gateway.edges.world import World
from gateway.policies.asset_names import asset_name
from gateway.policies.link_signing import LinkMaker

__all__ = ["Repeats", "Services"]


@dataclass(frozen=True, slots=True)
class Repeats:
    """What becomes of repeated requests. A twin of a running call waits for `wait_s`, or not at all.

    `resend_once`: a call whose outcome is unknown may be bought once more when its client asks again.
    """

    wait_s: float = 25.0
    waits: bool = True
    resend_once: bool = False


@dataclass(frozen=True, slots=True)
class Services:
    """The edges and the catalogue of one running gateway. `blocked_users` holds names of end users."""

    catalogue: Catalogue
    dialects: Mapping[str, Dialect]
    keys: Keys
    limits: Limits
    pacing: Pacing
    targets: Targets
    upstreams: Upstreams
    pixels: Pixels
    admission: Admission
    assets: SureAssets
    links: LinkMaker
    world: World
    tell: Listener
    journal: Journal
    writer: JournalWriter
    end_user_key: bytes = field(repr=False)
    asset_key: bytes = field(repr=False)
    repeats: Repeats = Repeats()
    presigned_links: bool = False
    blocked_users: Container[str] = frozenset()
    tenant_budgets: Mapping[str, Budget] = field(default_factory=dict)
    traces: Traces = NO_TRACES
    callbacks: Callbacks = field(default_factory=Callbacks)
    messenger: Messenger = field(default_factory=Messenger)
    turns: Turns = field(default_factory=Turns)

    def capabilities_of(self, target: Target) -> Capabilities:
        """What the native model of `target` does by itself."""
        return self.dialects[target.dialect].capabilities(target.model)

    def name_of(self, record: Record, attempt: Attempt, number: int) -> str:
        """The id of an image before it exists (see `asset_name`)."""
        return asset_name(self.asset_key, record.id, record.begun_s, attempt.number, number)

    async def link_of(self, image: Finished) -> str:
        """Where a client finds this image: our signed link, the store's own, or the vendor's where that was chosen."""
        if image.asset_id is None:
            return image.link or ""
        if self.presigned_links:
            return await self.assets.presigned(image.asset_id, image.format, self.links.life_s)
        return self.links.link_for(image.asset_id, image.format, self.world.now())
