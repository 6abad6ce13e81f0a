"""From settings to the journal: where it is kept, how long, and how sure it must be."""

import hashlib
import sqlite3
from pathlib import Path

import structlog

from gateway.domain.facts import Listener
from gateway.edges.journal import Journal, Keeping
from gateway.edges.journal_spool import JournalSpool
from gateway.edges.journal_writer import JournalWriter
from gateway.edges.redis_store import RedisStore
from gateway.services import Repeats
from gateway.settings.groups import Settings

__all__ = ["asset_key", "journal_of", "repeats_of", "spool_beside"]

_PURPOSE_ASSETS = b"samurai asset names 1"
_WAIT_MS = 50  # the most that a replica of Redis may hold up a paid call
_DEFAULT = Path("/var/lib/samurai/journal")


def journal_of(
    settings: Settings, redis: RedisStore, tell: Listener
) -> tuple[Journal, JournalWriter, JournalSpool | None]:
    """The journal in Redis, its writer, and this replica's copy; without a copy where the directory takes none."""
    keeping = Keeping(
        keep_s=settings.idempotency.keep_s,
        join_s=settings.idempotency.join_retries_s,
        lease_s=settings.idempotency.lease_s,
        is_shared=not settings.redis.is_embedded,
    )
    journal, spool = Journal(redis, keeping), _opened(spool_beside(settings), tell)
    replicas = settings.idempotency.acknowledged_by
    return journal, JournalWriter(journal, spool, tell, replicas=replicas, wait_ms=_WAIT_MS), spool


def repeats_of(settings: Settings) -> Repeats:
    """What becomes of repeated requests."""
    return Repeats(
        wait_s=settings.idempotency.wait_s,
        waits=not settings.idempotency.conflict,
        resend_once=settings.resilience.resend_unknown,
    )


def asset_key(key: bytes) -> bytes:
    """The key that images' names are made with, derived from the one that signs their links."""
    return hashlib.blake2b(_PURPOSE_ASSETS, key=key[:64]).digest()


def spool_beside(settings: Settings) -> Path:
    """Where this replica keeps its copy: as configured, else beside the images where they are on this machine."""
    configured, images = settings.idempotency.spool, settings.store.directory
    if configured is not None:
        return configured
    return _DEFAULT if images is None else images.parent / "samurai-journal"


def _opened(directory: Path, tell: Listener) -> JournalSpool | None:
    try:
        return JournalSpool(directory, tell)
    except (OSError, sqlite3.Error) as problem:
        structlog.get_logger("journal").error(
            "no copy of the journal can be kept here; what Redis forgets is forgotten",
            directory=str(directory),
            reason=str(problem),
        )
        return None
