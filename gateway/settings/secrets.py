"""Secrets by reference: read once, from the environment or a file, and never shown by accident."""

from collections.abc import Mapping
from hmac import compare_digest
from pathlib import Path
from typing import Any

import orjson
from msgspec import UNSET

from gateway.settings.faults import Findings, Place
from gateway.settings.references import GoogleCredentialRef, SecretRef

__all__ = ["Secret", "SecretReader"]

_FILE_LIMIT_BYTES = 65_536  # service-account files have 2.3 kB, keys far less


class Secret:
    """A value that only `reveal()` shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself. Call it where it is used, and keep nothing."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere, nor sent to another process")


class SecretReader:
    """Follows references. What cannot be had is a fault in `findings`; relative paths start in `directory`."""

    def __init__(self, environment: Mapping[str, str], directory: Path, findings: Findings) -> None:
        self._environment = environment
        self._directory = directory
        self._findings = findings
        self.files: list[Path] = []
        """Every file that was asked for, found or not."""

    def read(self, reference: SecretRef, place: Place, least_length: int = 1) -> Secret | None:
        """The secret, without white space around it, of printable ASCII and at least that long; None after a fault."""
        if isinstance(reference.env, str):
            source = f"environment variable {reference.env}"
            text = self._environment.get(reference.env)
            if text is None:
                self._findings.fault(place, f"{source} is not set")
                return None
        else:
            source = "the file"
            data = self._bytes_of(reference.file, place)
            if data is None:
                return None
            text = data.decode("utf-8", "replace")
        return self._fit_to_use(text.strip(), place, source, least_length)

    def google_file(self, reference: GoogleCredentialRef, place: Place) -> Path | None:
        """Where a Google credential file is, once it has been seen to be one; None without one or after a fault."""
        if reference.file is UNSET:
            return None
        data = self._bytes_of(reference.file, place)
        if data is None:
            return None
        try:
            is_credential = "type" in orjson.loads(data)
        except (orjson.JSONDecodeError, TypeError):
            is_credential = False
        if not is_credential:
            self._findings.fault(place, "the file is no Google credential: expected a JSON object with a type")
            return None
        return self._path_of(reference.file)

    def _fit_to_use(self, secret: str, place: Place, source: str, least_length: int) -> Secret | None:
        problem = None
        if not secret:
            problem = "is empty"
        elif not (secret.isascii() and secret.isprintable()):
            problem = "holds more than one line, or something that is not ASCII"
        elif len(secret) < least_length:
            problem = f"holds fewer than {least_length} characters"
        if problem is None:
            return Secret(secret)
        self._findings.fault(place, f"{source} {problem}")
        return None

    def _bytes_of(self, file: Any, place: Place) -> bytes | None:
        self.files.append(self._path_of(file))
        try:
            with self._path_of(file).open("rb") as stream:
                data = stream.read(_FILE_LIMIT_BYTES + 1)
        except (OSError, ValueError) as error:
            why = error.strerror.lower() if isinstance(error, OSError) and error.strerror else "no such path"
            self._findings.fault(place, f"the file cannot be read (from {self._directory}): {why}")
            return None
        if len(data) > _FILE_LIMIT_BYTES:
            self._findings.fault(place, f"the file has more than {_FILE_LIMIT_BYTES} bytes")
            return None
        return data

    def _path_of(self, file: Any) -> Path:
        return self._directory / str(file)
