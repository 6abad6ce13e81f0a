"""Step 1 of 9 · who is calling."""

from collections.abc import Callable, Mapping

from gateway.domain.caller import Caller
from gateway.domain.errors import ErrorCode, RequestError

__all__ = ["authenticate"]

_HOW = "Send it as `Authorization: Bearer <key>`."


def authenticate(
    headers: Mapping[str, str], find: Callable[[str], Caller | None], looks_mistyped: Callable[[str], bool]
) -> Caller:
    """The holder of the key in `authorization` (header names are lower-case).

    A key is any opaque string, with spaces in it, too. One that `looks_mistyped` is refused without asking `find`.
    Raises RequestError `missing_api_key` where there is no key to look at, `invalid_api_key` where nobody holds it.
    No message says anything of the key.
    """
    scheme, _, rest = headers.get("authorization", "").strip().partition(" ")
    key = rest.strip()
    if not scheme:
        raise RequestError(ErrorCode.MISSING_API_KEY, f"You did not send an API key. {_HOW}")
    if scheme.lower() != "bearer" or not key:
        raise RequestError(ErrorCode.MISSING_API_KEY, f"The Authorization header holds no API key. {_HOW}")
    if looks_mistyped(key):
        raise RequestError(ErrorCode.INVALID_API_KEY, "The API key is mistyped or cut short: its checksum is wrong.")
    caller = find(key)
    if caller is None:
        raise RequestError(ErrorCode.INVALID_API_KEY, "The API key is unknown, revoked or expired.")
    return caller
