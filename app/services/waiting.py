"""What still waits in a shard's outbox will be recorded. With Kafka away that may be long, and Redis forgets what has
ended before that; it is neither drift nor forgotten."""

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from app.domain.ports import Entry

_ENTRIES = 1000


class Outbox(Protocol):
    def batches(self, shard: int, limit: int) -> Iterable[Sequence[Entry]]: ...


def told_of(outbox: Outbox, shard: int, booking_ids: Collection[str]) -> set[str]:
    """Those of these bookings of which an entry waits. Raises `SERVICE_UNAVAILABLE`."""
    asked, found = set(booking_ids), set[str]()
    for batch in outbox.batches(shard, _ENTRIES) if asked else ():
        found |= asked.intersection(str(entry["booking_id"]) for entry in batch)
        if found == asked:
            break  # with Kafka away long there may be a million behind it
    return found
