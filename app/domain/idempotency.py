"""What makes a retry the same request: the key's scope and the payload's fingerprint.

Both are the first 16 bytes of SHA-256: fixed in length whatever the caller sends, and too wide to collide. Postgres has
the same hash in hexadecimal (`idempotency_digest`), so that an image of its keys needs no work here.
"""

from functools import lru_cache
from hashlib import sha256
from typing import Final

from app.domain.model import Order

KEPT_MS: Final = 24 * 3600 * 1000
"""How long a key is remembered, ms; afterwards it may be used again."""


def digest(event_id: str, user_id: str, verb: str, key: str) -> bytes:
    """Names the key within its scope (user, event, verb)."""
    return _hash(event_id, user_id, verb, key)


def fingerprint(order: Order) -> bytes:
    """Tells the payload of a reserve apart from another under the same key."""
    return _payload(order.zone_id, order.quantity, order.seen_price)


@lru_cache(maxsize=4096)  # an on-sale's orders differ in little but the buyer
def _payload(zone_id: str, quantity: int, seen_price: int | None) -> bytes:
    return _hash(zone_id, str(quantity), "" if seen_price is None else str(seen_price))


def _hash(*parts: str) -> bytes:
    # The length of each part, in bytes, keeps ("a", "bc") apart from ("ab", "c").
    text = "".join([f"{len(part)}:{part}" for part in parts])
    if not text.isascii():
        text = "".join([f"{len(part.encode())}:{part}" for part in parts])
    return sha256(text.encode()).digest()[:16]
