"""What the relay and the consumers do between them, in one step and without Kafka."""

from dataclasses import dataclass
from typing import Any

from app.wiring import Wiring
from worker.events import encode_event
from worker.handlers import SettleBookings


@dataclass(frozen=True)
class _Record:
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    topic: str = "booking.events"
    partition: int = 0
    offset: int = 0


def carry(shop: Wiring) -> None:
    """Both outboxes, until they are empty: Redis' entries are recorded, Postgres' events settled."""
    for shard in shop.shards:
        while batch := shop.outbox.read(shard, 500):
            shop.recorder.record(batch)
            shop.outbox.acknowledge(shard, batch[-1]["seq"])
    settle = SettleBookings(shop.reservations, len(shop.shards))
    while rows := shop.ledger_outbox.read(100):
        records: list[Any] = [_Record(m.key, m.value, m.headers) for m in (encode_event("", row) for row in rows)]
        outcome = settle(records)
        assert not outcome.poisoned
        shop.ledger_outbox.acknowledge([row.id for row in rows[: outcome.done]])
