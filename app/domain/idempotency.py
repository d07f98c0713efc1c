"""What makes a retry the same request: the key's scope and the payload's fingerprint.

Both are the first 16 bytes of SHA-256 in hexadecimal: fixed in length whatever the caller sends, and too wide to
collide. Postgres has the same hash (`idempotency_digest`), so that an image of its keys needs no work here.
"""

from hashlib import sha256
from typing import Final

from app.domain.model import Order

KEPT_MS: Final = 24 * 3600 * 1000
"""How long a key is remembered, ms; afterwards it may be used again."""


def digest(event_id: str, user_id: str, verb: str, key: str) -> str:
    """Names the key within its scope (user, event, verb)."""
    return _hash(event_id, user_id, verb, key)


def fingerprint(order: Order) -> str:
    """Tells the payload of a reserve apart from another under the same key."""
    return _hash(order.zone_id, str(order.quantity), "" if order.seen_price is None else str(order.seen_price))


def _hash(*parts: str) -> str:
    # The length of each part keeps ("a", "bc") apart from ("ab", "c").
    return sha256(b"".join(b"%d:%s" % (len(p.encode()), p.encode()) for p in parts)).hexdigest()[:32]
