"""The configuration, read anew while requests are served: on SIGHUP, and when a file that it is read from changes."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from gateway.composition import secrets_in
from gateway.domain.facts import ConfigReloaded
from gateway.edges.file_watch import FileWatch
from gateway.edges.logs import retune_logs
from gateway.editions import Editions, Press
from gateway.settings.faults import SettingsError
from gateway.settings.groups import Settings
from gateway.settings.restarting import needs_restart

__all__ = ["Reloading"]


class Reloading:
    """Swaps the edition in force for a new one, or says why not and leaves everything as it was.

    `read` loads the configuration as at the start (it blocks, and raises SettingsError). `loaded` is what it gave
    then, and `in_force` turns what it gives into settings for where this process listens.
    """

    def __init__(
        self,
        editions: Editions,
        press: Press,
        read: Callable[[], Settings],
        loaded: Settings,
        in_force: Callable[[Settings], Settings],
    ) -> None:
        self._editions, self._press = editions, press
        self._read, self._loaded, self._in_force = read, loaded, in_force
        self._watch = FileWatch(loaded.files)
        self._told = asyncio.Event()
        self._secrets = set(secrets_in(loaded))
        self._refused = False
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("configuration")

    def state(self) -> dict[str, Any]:
        """For readiness: the version in force, how often one was taken up, and whether the last one was refused."""
        return {
            "version": self._loaded.version,
            "loaded": self._editions.count,
            "last_change": "refused" if self._refused else "ok",
        }

    def tell(self) -> None:
        """Read it anew now, changed or not: what SIGHUP does."""
        self._told.set()

    def start(self) -> None:
        """Follow the files from now on."""
        self._task = asyncio.create_task(self._follow(), name="configuration")

    async def stop(self) -> None:
        """Follow them no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self) -> None:
        while True:
            news = [asyncio.ensure_future(self._watch.changed()), asyncio.ensure_future(self._told.wait())]
            try:
                await asyncio.wait(news, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in news:
                    one.cancel()
            self._told.clear()
            await self._once()

    async def _once(self) -> None:
        before = await self._watch.look()
        problems: list[str] = []
        files, settings = self._loaded.files, None
        try:
            settings = await asyncio.to_thread(self._read)
            files = settings.files
        except SettingsError as error:
            problems = [str(fault) for fault in error.faults]
            files = tuple({*self._loaded.files, *error.files})
        if await self._watch.look() != before:
            return  # somebody was writing while we read; the watch comes back once that is over
        self._watch.saw(before, files)
        if settings is not None:
            problems = self._adopt(settings)
        self._say(problems)

    def _adopt(self, settings: Settings) -> list[str]:
        """Put `settings` into force, or say what is wrong with them."""
        fixed = needs_restart(self._loaded, settings)
        if fixed:
            return [f"{name}: cannot change while the gateway runs; it needs a restart" for name in fixed]
        try:
            edition = self._press.next(self._editions.current, self._in_force(settings))
        except (ValueError, OSError) as problem:
            return [str(problem)]
        self._editions.adopt(edition)
        self._loaded = settings
        # The old ones stay hidden: requests that hold them are still under way.
        self._secrets.update(secrets_in(settings))
        retune_logs(settings.logging.level, prompts=settings.logging.prompts, secrets=self._secrets)
        return []

    def _say(self, problems: list[str]) -> None:
        self._refused = bool(problems)
        version = self._loaded.version
        self._editions.current.services.tell(ConfigReloaded(not problems, version))
        if problems:
            file = str(self._loaded.files[0])
            self._log.error("configuration refused, the old one stays", file=file, faults=problems, version=version)
            return
        for warning in (*self._loaded.warnings, *self._loaded.not_yet_in_force()):
            self._log.warning("configuration", warning=warning)
        self._log.info("configuration in force", version=version, loaded=self._editions.count)
