"""Links to images that need no key: the link itself carries an end date and a proof that we made it.

The proof is HMAC-SHA256 over the file's name and the end date, under the first of the deployment's signing keys;
the others still open links that were made before a change of keys.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.domain.picture import ImageFormat

__all__ = ["LinkMaker", "link", "sign", "verify"]

_PURPOSE = "samurai-image-link-1"  # a signature made with the same key for anything else never opens an image


@dataclass(frozen=True, slots=True)
class LinkMaker:
    """What a deployment makes links with. `base_url` has no trailing slash; `keys[0]` signs; life in seconds."""

    base_url: str
    keys: tuple[bytes, ...] = field(repr=False)
    life_s: int = 86_400  # the contract's 24 hours

    def __post_init__(self) -> None:
        if not self.keys or not all(self.keys):
            raise ValueError("links need a signing key that is not empty")

    def link_for(self, asset_id: str, format: ImageFormat, now: float) -> str:  # noqa: A002 the domain's own word
        """A link that opens this image until `life_s` seconds after `now`."""
        expires = int(now) + self.life_s
        return link(self.base_url, asset_id, format, expires, sign(self.keys[0], asset_id, format.extension, expires))


def sign(key: bytes, asset_id: str, extension: str, expires_unix: int) -> str:
    """The signature of one link: 43 characters that need no escaping in an address."""
    message = f"{_PURPOSE}\n{asset_id}.{extension}\n{expires_unix}".encode()
    return base64.urlsafe_b64encode(hmac.digest(key, message, hashlib.sha256)).decode().rstrip("=")


def verify(keys: Sequence[bytes], asset_id: str, extension: str, expires_unix: int, signature: str, now: float) -> bool:
    """Whether one of `keys` made this link and it has not expired. Takes the same time for every wrong signature.

    Also False for text that is no signature at all. `asset_id` may be anything a client sends.
    """
    given = signature.encode(errors="surrogatepass")
    name = asset_id.encode(errors="replace").decode()  # a lone surrogate is nobody's id, and must not raise
    made = [sign(key, name, extension, expires_unix).encode() for key in keys]
    matches = [hmac.compare_digest(given, expected) for expected in made]
    return any(matches) and now < expires_unix


def link(base_url: str, asset_id: str, format: ImageFormat, expires: int, signature: str) -> str:  # noqa: A002 as above
    """The address of an image: `{base_url}/v1/images/files/<id>.<ext>?expires=<unix>&signature=<…>`."""
    return f"{base_url}/v1/images/files/{asset_id}.{format.extension}?expires={expires}&signature={signature}"
