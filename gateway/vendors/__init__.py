"""The vendors' wire formats, spoken by pure functions: one module a dialect.

Rule 1: no I/O, no clock, no randomness, no state.
Rule 2: no dialect knows another, and none imports anything of ours but the domain.

Every module in here whose name begins with a letter is a dialect and exports it as `DIALECT`; nothing else needs to
be told of it. A module whose name begins with an underscore is none: it holds a part of one vendor's dialects, such as
its error shapes, and only they may import it.
"""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from gateway.domain.exchange import Dialect

__all__ = ["dialects"]


def dialects() -> Mapping[str, Dialect]:
    """Every dialect, by its name.

    Raises TypeError for a module without a `DIALECT`, and ValueError for two of one name: mistakes of whoever adds
    a vendor, met at the first start.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    found: dict[str, Dialect] = {}
    for name in names:
        dialect = getattr(import_module(f"{__name__}.{name}"), "DIALECT", None)
        if not isinstance(dialect, Dialect):
            raise TypeError(f"{__name__}.{name} exports no DIALECT; a module that is no dialect begins with '_'")
        if dialect.name in found:
            raise ValueError(f"{__name__}.{name}: another module already exports a dialect named '{dialect.name}'")
        found[dialect.name] = dialect
    return MappingProxyType(found)
