"""The key that signs image links, where the configuration names none: made once, kept beside the images it opens."""

import os
import secrets
from pathlib import Path

__all__ = ["kept_key"]

_NAME = ".signing-key"
_LENGTH_BYTES = 32  # HMAC-SHA256 gains nothing from more


def kept_key(directory: Path) -> bytes:
    """The key in `directory`, made (mode 0600) when there is none yet. Raises OSError.

    Safe when several processes come at once: the first one's key counts for all.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / _NAME
    fresh = directory / f"{_NAME}.{os.getpid()}"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_LENGTH_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)  # fails when another process was first; its key is read below
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        return path.read_bytes()
