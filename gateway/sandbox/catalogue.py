"""Every documented error of every vendor, by `vendor.name`, for scripts to ask for."""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.sandbox import google_errors, ideogram_errors, openai_errors, replicate_errors, vertex_errors
from gateway.sandbox.native_error import NativeError

__all__ = ["CATALOGUE", "named_error"]

_BY_VENDOR = {
    "replicate": replicate_errors.NAMED,
    "openai": openai_errors.NAMED,
    "ideogram": ideogram_errors.NAMED,
    "vertex": vertex_errors.NAMED,
    "google": google_errors.NAMED,
}
CATALOGUE: Mapping[str, NativeError] = MappingProxyType(
    {f"{vendor}.{name}": error for vendor, errors in _BY_VENDOR.items() for name, error in errors.items()}
)


def named_error(name: str) -> NativeError:
    """The error of this name. Raises KeyError for a name that is not in the catalogue."""
    return CATALOGUE[name]
