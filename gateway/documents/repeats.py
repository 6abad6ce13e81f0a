"""The page on what happens to a request beyond its first answer. Its times are the defaults."""

__all__ = ["REPEATS"]

REPEATS = """# Sending again, and not waiting

An image costs money each time it is made. So a request that is sent again is given the answer of the first one, and is
not made anew. Times are the usual ones; a deployment may have others.

## `Idempotency-Key`

Send a name of your own with a request: 1 to 255 visible ASCII characters, bare or in quotes. It is yours alone: another
API key may use the same name.

| you send | you get |
| --- | --- |
| the same name and body, within 24 hours | the first answer, byte for byte, with `idempotent-replayed: true` |
| the same while the first still runs | the first answer, after up to 25 seconds; then 409 `idempotency_in_progress` |
| the same name with another body | 422 `idempotency_key_reused` |

What an answer holds is told by its fields, so a body that only spells out defaults is the same. An error is given again
where another try could be paid for twice; where nothing was bought, sending again begins anew, and where a part was, it
buys only the rest. A repeated answer takes nothing from your limits.

## Without a key

The OpenAI SDKs mark what they send again by themselves (`x-stainless-retry-count`). Such a retry with the same API key
and body joins its first call. Two requests that you send yourself are two, however alike. `x-should-retry: false` tells
the SDKs to leave it.

## When you hang up

What is not yet bought is not bought; what the vendor has only queued is cancelled where that is free. What is paid for
is finished and kept: send the same request again with its `Idempotency-Key`, or ask for its operation.

## `Prefer: respond-async`

Answers 202 at once, for callers behind proxies that cut long requests. `Location` and `x-samurai-operation-id` name
the operation. Limits are checked first, so a 429 still comes at once. Whoever runs the gateway can have its end told to
a webhook of yours, too.

## `GET /v1/operations/{id}`

Every reply to a request for images names its operation in `x-samurai-operation-id`. Its page is there for 24 hours, for
the key that began it; to every other one it is a 404.

| `status` | means |
| --- | --- |
| `running` | It is worked on. `images_ready` of `n` are kept so far; look again after `retry-after` seconds. |
| `completed` | `result` is what the request was, or would have been, answered. |
| `failed` | `error` says why. Images that were paid for all the same are in `result`. |
| `unknown` | Nobody can tell whether the vendor made the images. They are never bought again by themselves. |

`cost_usd` is what the vendor billed.

## Links to images

`url` is a link of the gateway's own. It needs no key, so whoever has it can see the image; it cannot be guessed, and
ends after 24 hours (`expires` in it is Unix time). Changed or expired links are 404. `GET` and `HEAD` work, with
`ETag`, `If-None-Match` and one `Range`.
"""
