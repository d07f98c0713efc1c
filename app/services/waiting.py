"""What still waits in a shard's outbox will be recorded. With Kafka away that may be long, and Redis forgets what has
ended before that; it is neither drift nor forgotten."""

from collections.abc import Collection, Sequence
from typing import Protocol

from app.domain.ports import Entry

_ENTRIES = 1000


class Outbox(Protocol):
    def read(self, shard: int, limit: int, after: str | None = None) -> Sequence[Entry]: ...


def told_of(outbox: Outbox, shard: int, booking_ids: Collection[str]) -> set[str]:
    """Those of these bookings of which an entry waits. Raises `SERVICE_UNAVAILABLE`."""
    asked, found = set(booking_ids), set[str]()
    after = None
    while found < asked and (batch := outbox.read(shard, _ENTRIES, after)):
        found |= asked.intersection(str(entry["booking_id"]) for entry in batch)
        after = str(batch[-1]["seq"])
    return found
