"""What the relay and the consumers do between them, in one step and without Kafka."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def carrying(shop: Wiring) -> Iterator[None]:
    """Again and again, until the block ends."""
    over, wrong = threading.Event(), []

    def run() -> None:
        try:
            while not over.wait(0.3):
                carry(shop)
        except Exception as error:
            wrong.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=30)
    if wrong:
        raise wrong[0]


def carry(shop: Wiring) -> None:
    """Both outboxes, until they are empty: Redis' entries are recorded, Postgres' events settled."""
    for shard in shop.shards:
        while batch := shop.outbox.read(shard, 500):
            shop.recorder.record(batch)
            shop.outbox.acknowledge({shard: batch[-1]["seq"]})
    settle = SettleBookings(shop.reservations, len(shop.shards))
    while rows := shop.ledger_outbox.read(100):
        records: list[Any] = [_Record(m.key, m.value, m.headers) for m in (encode_event("", row) for row in rows)]
        outcome = settle(records)
        assert not outcome.poisoned
        shop.ledger_outbox.acknowledge([row.id for row in rows[: outcome.done]])
