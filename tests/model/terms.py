"""The sale that every schedule is about: one event of two zones, few seats, a low limit, so that everybody meets."""

import uuid
from dataclasses import dataclass
from typing import Final

from app.domain.ids import shard_of_event

SHARDS: Final = 16
EVENT: Final = "seam"
SHARD: Final = shard_of_event(EVENT, SHARDS)
CAPACITIES: Final = {"A": 3, "B": 2}
LIMIT: Final = 2
"""Seats of one user, over both zones."""
USERS: Final = ("ann", "bob", "cy", "dee")
HOLD_SECONDS: Final = 600
HOLD_SECONDS_MAX: Final = 1_500
PIN_LIMIT_MS: Final = 15_000
PRICE_MINOR: Final = 15_000
CURRENCY: Final = "THB"
RECORDED_AS: Final = {
    "created": ("reserved", "reserve"),
    "extended": ("reserved", "extend"),
    "released": ("released", "release"),
    "expired": ("expired", "expire"),
}
"""What Redis tells by kind: the status and the cause of its row of history."""
STARTED_MS: Final = 1_800_000_000_000


@dataclass
class Clock:
    """Unix milliseconds, one for both stores."""

    ms: int = STARTED_MS

    def __call__(self) -> int:
        return self.ms


class Mint:
    """Booking ids in the order in which they were asked for: an order that a seed repeats."""

    def __init__(self) -> None:
        self._made = 0

    def __call__(self, shard: int) -> str:
        self._made += 1
        return str(uuid.UUID(int=self._made << 80 | 8 << 76 | shard << 64 | 2 << 62))


def short(booking_id: str) -> str:
    """As the schedule tells of it."""
    return f"b{int(booking_id[:8] + booking_id[9:13], 16)}"
