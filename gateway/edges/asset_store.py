"""Opening the place where images are kept, by its address; and saying why it cannot be used."""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, LocalStore, MemoryStore, ObjectStore, S3Store

if TYPE_CHECKING:  # obstore has these for type checkers alone
    from obstore.store import ClientConfig, RetryConfig

__all__ = ["StoreUnavailable", "open_store", "unavailable"]

_CLOUDS: Mapping[str, type[S3Store] | type[GCSStore] | type[AzureStore]] = {
    "s3": S3Store,
    "gs": GCSStore,
    "az": AzureStore,
}

# Where obstore finds a server other than the cloud's own.
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")

# Tries are counted by `Assets`, alike for every store, so none are hidden in here. The long timeout bounds a whole
# exchange, and a client may read an image slowly; single tries are bounded by `Assets`.
_NO_RETRIES: "RetryConfig" = {"max_retries": 0, "retry_timeout": timedelta(seconds=1)}
_CLIENT: "ClientConfig" = {"connect_timeout": "5s", "timeout": "300s"}
_ADDRESS = re.compile(r"\S*://\S*")


class StoreUnavailable(Exception):  # noqa: N818 a state of this edge, beside PixelsUnavailable
    """The store cannot be used at the moment. Says why in one line, for the log: no link, no key, no foreign reply."""


def unavailable(problem: Exception | None) -> StoreUnavailable:
    """A failure of the store in words that may be logged."""
    # After a `<` the text repeats the store's reply, which may name an access key.
    line = _ADDRESS.sub("the store", str(problem).partition("\n")[0].partition("<")[0])
    return StoreUnavailable(f"{type(problem).__name__}: {line[:400].strip()}")


def open_store(url: str, options: Mapping[str, str]) -> ObjectStore:
    """The store at `file:///directory`, `s3://bucket/prefix`, `gs://…`, `az://container/prefix` or `memory://`.

    `options` are obstore's own settings (`endpoint`, `region`, `account_name`, …); what is not given comes from the
    environment or the machine's identity, as usual with that cloud. A directory is made where there is none.
    Raises ValueError for an address or an option that means nothing, OSError when a directory cannot be made.
    """
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        return MemoryStore()
    if scheme == "file":
        return _open_directory(url)
    if scheme not in _CLOUDS:
        raise ValueError("the store's address must start with file://, s3://, gs:// or az://")
    client: ClientConfig = {**_CLIENT, "allow_http": _is_in_the_clear(options)}
    config: Any = dict(options)
    try:
        return _CLOUDS[scheme].from_url(url, config=config, client_options=client, retry_config=_NO_RETRIES)
    except BaseError as error:
        # The full text may repeat an option's value, and some options are secrets.
        raise ValueError(f"the store's address or options are not understood ({type(error).__name__})") from None


def _is_in_the_clear(options: Mapping[str, str]) -> bool:
    """Whether whoever runs this has named an endpoint that speaks http. AWS_ALLOW_HTTP has no say beside options."""
    given = (options.get("endpoint"), *map(os.environ.get, _ENDPOINTS))
    endpoint = next(filter(None, given), "")
    return endpoint.startswith("http://")


def _open_directory(url: str) -> LocalStore:
    parts = urlsplit(url)
    directory = Path(unquote(parts.path))
    if parts.netloc or not directory.is_absolute() or directory == Path("/"):
        raise ValueError("a directory is written file:///absolute/path")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return LocalStore(directory)
