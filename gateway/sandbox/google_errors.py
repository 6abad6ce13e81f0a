"""Errors of Google's token endpoint, by name: OAuth's `{"error", "error_description"}`."""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.sandbox.native_error import NativeError

__all__ = ["NAMED", "oauth"]


def oauth(error: str, description: str, status: int = 400) -> NativeError:
    """An error as OAuth writes it."""
    return NativeError(status, {"error": error, "error_description": description})


NAMED: Mapping[str, NativeError] = MappingProxyType(
    {
        "invalid_grant_400": oauth("invalid_grant", "Invalid JWT Signature."),
        "account_not_found_400": oauth("invalid_grant", "Invalid grant: account not found"),
        "unauthorized_client_401": oauth("unauthorized_client", "Unauthorized", 401),
        "internal_500": oauth("internal_failure", "Backend Error", 500),
        "unavailable_503": NativeError(503, "<html><body>503</body></html>", {}, "text/html"),
    }
)
