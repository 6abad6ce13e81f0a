"""Vendors' secrets by reference: a fixed value, or a file that is read again when it changes."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

__all__ = ["Credential", "CredentialUnavailable", "FileSecret", "FixedSecret"]

_LOOK_EVERY_S = 1.0


class CredentialUnavailable(Exception):  # noqa: N818  (a state, as the reader meets it: there is no credential now)
    """There is no valid secret at the moment. The message says why, never the secret."""


class Credential(Protocol):
    """Whatever can come up with an account's secret."""

    def known(self) -> str | None:
        """The secret where it is at hand and need not be looked after, so that nobody has to wait."""
        ...

    async def secret(self, *, fresh: bool = False) -> str:
        """The secret as it goes into the header. `fresh` after the vendor refused the last one.

        Raises CredentialUnavailable.
        """
        ...


class FixedSecret:
    """A secret from the environment: it lives as long as the process."""

    def __init__(self, value: str) -> None:
        self._value = _checked(value, "the secret")

    def known(self) -> str | None:
        """The secret."""
        return self._value

    async def secret(self, *, fresh: bool = False) -> str:
        """The secret."""
        return self._value

    def __repr__(self) -> str:
        return "FixedSecret(…)"


class FileSecret:
    """A secret in a file, as Kubernetes mounts it.

    A change is seen within a second. While the file is away or empty (half-way through a rotation), the last good
    value serves.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._value: str | None = None
        self._seen: tuple[int, int, int] | None = None
        self._look_at = 0.0

    def known(self) -> str | None:
        """The file's content, until it is to be looked at again."""
        return self._value if self._clock() < self._look_at else None

    async def secret(self, *, fresh: bool = False) -> str:
        """The file's content without white space around it."""
        if fresh or self._value is None or self._clock() >= self._look_at:
            self._look()
        if self._value is None:
            raise CredentialUnavailable(f"no secret in {self._path}")
        return self._value

    def _look(self) -> None:
        self._look_at = self._clock() + _LOOK_EVERY_S
        try:
            found = self._path.stat()
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            if seen != self._seen:
                self._value = _checked(self._path.read_text(encoding="utf-8"), str(self._path))
                self._seen = seen
        except (OSError, UnicodeDecodeError, CredentialUnavailable):
            self._seen = None

    def __repr__(self) -> str:
        return f"FileSecret({str(self._path)!r})"


def _checked(text: str, where: str) -> str:
    value = text.strip()
    # It goes into a header: a line break in it would be a header of somebody else's.
    if not value or not value.isascii() or not value.isprintable():
        raise CredentialUnavailable(f"{where} is empty or holds characters that no header may hold")
    return value
