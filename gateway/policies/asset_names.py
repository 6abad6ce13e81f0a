"""The name of an image before it exists: the same whoever brings it in, and for nobody to guess."""

import hashlib

from gateway.policies.asset_id import RANDOM_BYTES, new_asset_id

__all__ = ["asset_name"]


def asset_name(key: bytes, op_id: str, begun_s: float, attempt: int, number: int) -> str:
    """The id of image `number` of a paid call: who finds the call again finds the image, and stores it once.

    `key` is secret. `begun_s` is when the operation began, in seconds since the epoch.
    """
    text = f"{op_id} {attempt} {number}".encode()
    return new_asset_id(begun_s, hashlib.blake2b(text, key=key, digest_size=RANDOM_BYTES).digest())
