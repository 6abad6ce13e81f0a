"""Google's side of authentication: the service account it knows, and the access tokens it has given out."""

import base64
import binascii
import json
import secrets
from functools import cached_property
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

__all__ = ["CLOUD_SCOPES", "EMAIL", "SUBJECT_TOKEN", "TOKEN_LIFE_S", "GoogleIdentity"]

EMAIL = "painter@sandbox-project.iam.gserviceaccount.com"
SUBJECT_TOKEN = "sandbox-subject-token"  # noqa: S105 - what the workload presents to federation here
CLOUD_SCOPES = (
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/aiplatform",
)
TOKEN_LIFE_S = 3599.0  # what Google answers: one second short of an hour
_GOOGLE_AUDIENCE = "https://oauth2.googleapis.com/token"  # google-auth names it whatever the key file's token_uri says
_LONGEST_ASSERTION_S = 3600
_SKEW_S = 300


class GoogleIdentity:
    """One service account with a key of its own, made when it is first needed, and the tokens in force."""

    def __init__(self) -> None:
        self._expires_at: dict[str, float] = {}
        self.key_id = secrets.token_hex(20)

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def service_account(self, base_url: str, project: str) -> dict[str, str]:
        """The JSON key file of the sandbox's service account, as Google hands one out."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "type": "service_account",
            "project_id": project,
            "private_key_id": self.key_id,
            "private_key": pem.decode("ascii"),
            "client_email": EMAIL,
            "client_id": "100000000000000000000",
            "token_uri": f"{base_url}/google/token",
            "universe_domain": "googleapis.com",
        }

    def issue(self, now: float, life_s: float = TOKEN_LIFE_S) -> str:
        """A new access token."""
        token = f"ya29.sandbox-{secrets.token_urlsafe(24)}"
        self._expires_at[token] = now + life_s
        return token

    def accepts(self, token: str, now: float) -> bool:
        """Whether this access token was given out here and is still good."""
        return self._expires_at.get(token, 0.0) > now

    def revoke_all(self) -> None:
        """Make every token given out so far worthless."""
        self._expires_at.clear()

    def fault_in(self, assertion: str, audience: str, now: float) -> str | None:
        """Why a signed JWT is not good for a token, in Google's words; None when it is."""
        parts = assertion.split(".")
        if len(parts) != 3:
            return "Bad Request"
        try:
            header, claims = (json.loads(_decoded(part)) for part in parts[:2])
            signature = _decoded(parts[2])
        except (ValueError, binascii.Error):
            return "Bad Request"
        if not isinstance(header, dict) or not isinstance(claims, dict):
            return "Bad Request"
        if header.get("alg") != "RS256" or header.get("kid", self.key_id) != self.key_id:
            return "Invalid JWT Signature."
        if not self._signed(f"{parts[0]}.{parts[1]}".encode(), signature):
            return "Invalid JWT Signature."
        return _fault_in_claims(claims, audience, now)

    def _signed(self, message: bytes, signature: bytes) -> bool:
        try:
            self._key.public_key().verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True


def _decoded(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _fault_in_claims(claims: dict[str, Any], audience: str, now: float) -> str | None:
    if claims.get("iss") != EMAIL:
        return "Invalid grant: account not found"
    if claims.get("aud") not in (audience, _GOOGLE_AUDIENCE):
        return "Invalid JWT: Failed audience check."
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int) or not isinstance(expires, int):
        return "Invalid JWT: iat and exp must be given."
    too_long = expires - issued > _LONGEST_ASSERTION_S
    if too_long or issued > now + _SKEW_S or expires < now - _SKEW_S:
        return (
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
            " Check your iat and exp values in the JWT claim."
        )
    if not set(str(claims.get("scope", "")).split()) & set(CLOUD_SCOPES):
        return "Invalid OAuth scope or ID token audience provided."
    return None
