"""The worker's parts on real Kafka, Redis and Postgres. Topics and groups are a test's own; the shop is a module's."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from kafka import KafkaConsumer, TopicPartition

from app.wiring import Wiring
from dev.kafka import Kafka
from worker.broker import Broker
from worker.consumer import Consumer
from worker.handlers import RecordReservations, SettleBookings
from worker.loop import Body, Threads
from worker.outage import Outage
from worker.publisher import Publisher
from worker.relay import LogRelay, RowRelay
from worker.topics import Topics

PATIENCE_SECONDS = 30.0


def wait_until(true: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> float:
    """Waits until `true` answers so; how long that took. Fails after `seconds`."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, f"not within {seconds:.0f} s"
        time.sleep(0.02)
    return time.monotonic() - began


@dataclass
class Line:
    """One worker's parts, to be run a turn at a time or in threads."""

    shop: Wiring
    broker: Broker
    stop: threading.Event
    kafka: Outage
    threads: Threads

    @property
    def topics(self) -> Topics:
        return self.broker.topics

    def publisher(self) -> Publisher:
        return Publisher(self.broker, self.stop)

    def log_relay(self, outbox: Any = None) -> LogRelay:
        return LogRelay(outbox or self.shop.outbox, self.shop.shards, self.publisher(), self.topics, self.kafka)

    def row_relay(self, outbox: Any = None) -> RowRelay:
        return RowRelay(outbox or self.shop.ledger_outbox, self.publisher(), self.topics, self.kafka)

    def recorder(self, handler: Any = None) -> Consumer:
        handler = handler or RecordReservations(self.shop.recorder)
        return self._consumer("recorder", self.topics.reservation_log, self.topics.recorder, handler, together=True)

    def settler(self, handler: Any = None) -> Consumer:
        handler = handler or SettleBookings(self.shop.reservations, len(self.shop.shards))
        return self._consumer("settler", self.topics.booking_events, self.topics.settler, handler)

    def _consumer(self, name: str, topic: str, group: str, handler: Any, together: bool = False) -> Consumer:
        dead_letters = self.shop.dead_letters
        return Consumer(name, self.broker, topic, group, handler, dead_letters, self.kafka, self.stop, together)

    def run(self, name: str, body: Body) -> None:
        self.threads.start(name, body)

    def read(self, topic: str, count: int) -> list[Any]:
        """The first `count` records of all partitions, each partition's in order. Fails if there are fewer."""
        consumer: Any = KafkaConsumer(**self.broker._common, auto_offset_reset="earliest", enable_auto_commit=False)
        found: list[Any] = []
        try:
            consumer.assign([TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)])
            deadline = time.monotonic() + PATIENCE_SECONDS
            while len(found) < count:
                assert time.monotonic() < deadline, f"{len(found)} of {count} records in {topic}"
                for records in consumer.poll(200).values():
                    found += records
        finally:
            consumer.close()
        return found

    def entries(self, shard: int, count: int, distinct: bool = False) -> list[str]:
        """The `seq` of the first `count` entries and more in the log of `shard`, in the order of the log; when
        `distinct`, each where it was told first."""
        seqs: list[str] = []
        records = 0
        while len(seqs) < count:
            records += 1
            seqs = [
                entry["seq"]
                for record in self.read(self.topics.reservation_log, records)
                if record.partition == shard
                for entry in json.loads(record.value)["entries"]
            ]
            if distinct:
                seqs = list(dict.fromkeys(seqs))
        return seqs

    def committed(self, partition: int) -> int:
        """The recorder's offset: how much of the log Postgres is known to have."""
        consumer: Any = KafkaConsumer(**self.broker._common, group_id=self.topics.recorder, enable_auto_commit=False)
        try:
            return consumer.committed(TopicPartition(self.topics.reservation_log, partition), timeout_ms=5_000) or 0
        finally:
            consumer.close()

    def rows(self, query: Any, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.shop.postgres.rows(query, parameters)

    def dead_letters(self) -> list[tuple[Any, ...]]:
        return self.rows(
            "SELECT partition, cause, payload FROM booking.dead_letters WHERE topic LIKE %s "
            "ORDER BY partition, log_offset",
            [f"{self.topics.prefix}%"],
        )


@pytest.fixture
def line(shop: Wiring, kafka: Kafka) -> Iterator[Line]:
    """Ends every thread that the test started in it."""
    stop, outage = threading.Event(), Outage("Kafka")
    broker = Broker(kafka.bootstrap_servers, len(shop.shards), Topics(f"t{uuid4().hex[:8]}."))
    line = Line(shop, broker, stop, outage, Threads(stop, outage))
    broker.ensure_topics()
    _drain(shop)
    yield line
    stop.set()
    assert line.threads.join(10) == []


def _drain(shop: Wiring) -> None:
    """What earlier tests left in the outboxes is not this test's."""
    for shard in shop.shards:
        while batch := shop.outbox.read(shard, 500):
            shop.outbox.acknowledge({shard: batch[-1]["seq"]})
    while rows := shop.ledger_outbox.read(500):
        shop.ledger_outbox.acknowledge([row.id for row in rows])
