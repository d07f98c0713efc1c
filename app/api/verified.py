"""Tokens whose signature was verified a moment ago: a client shows the same one with each of its requests.

A token is taken for verified only within its own time (`nbf`, `exp`), by the clock and the rounding of its
verification: what `jwt.decode` would refuse now is not found here. Nothing can revoke a token before it expires,
remembered or not, and a key is changed by a restart, which forgets them all.

What is kept is the token's SHA-256, not the token: the memory is bounded whatever clients send, nobody can read a token
out of it, and a look-up takes no longer for a forged token that begins right. Only tokens that were verified are kept,
so a flood of others pushes nothing out.
"""

import time
from collections import OrderedDict
from hashlib import sha256
from typing import Any, NamedTuple

Claims = dict[str, Any]


class _Known(NamedTuple):
    claims: Claims
    not_before: int
    expires: int


class Verified:
    """At most `limit` tokens; past it, the one that was verified first goes. 0: none."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    def get(self, token: str) -> Claims | None:
        """The claims of `token` if it was verified, and its time has begun and not ended."""
        known = self._known.get(_digest(token))
        return known.claims if known and known.not_before <= time.time() < known.expires else None

    def add(self, token: str, claims: Claims) -> None:
        """`claims` are those of a token that has just been verified; `exp`, and `nbf` if any, are numbers."""
        if not self._limit:
            return
        digest = _digest(token)
        self._known.pop(digest, None)  # verified anew: among the youngest
        if len(self._known) >= self._limit:
            self._known.popitem(last=False)
        self._known[digest] = _Known(claims, int(claims.get("nbf", 0)), int(claims["exp"]))


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
