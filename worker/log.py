"""Kafka as the port `Log`: what `reservation.log` still holds of a shard and the recorder has not committed.

Called while a shard is frozen and sells nothing, so it gives up early: whatever it leaves behind is recorded later, as
ended. That is a promise broken for its holder, never a seat sold twice (rule 3.7).
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from kafka import TopicPartition

from app.domain.ports import Entry
from worker.broker import Broker, KafkaError
from worker.events import Poison, check_entry, decode_log

log = logging.getLogger(__name__)

# The longest silence of Kafka that a frozen shard waits for.
SILENCE_SECONDS: Final = 3.0
# When Kafka did not answer for one shard, the others are not made to wait for it as well.
RESPITE_SECONDS: Final = 30.0
MAX_RECORDS: Final = 500
# What one call of the recorder is given: a log of many small records must not cost a call each.
ENTRIES_PER_BATCH: Final = 500


class KafkaLog:
    """One shard at a time, whoever asks. Its connection is kept from shard to shard; `close` after a round of
    rebuilding."""

    def __init__(self, broker: Broker, clock: Callable[[], float] = time.monotonic) -> None:
        self._broker = broker
        self._clock = clock
        self._consumer: Any = None
        self._away_until = 0.0
        self._lock = threading.Lock()

    def unrecorded(self, shard: int) -> Iterator[Sequence[Entry]]:
        """Batches in order, from the recorder's committed offset to the end as it is now. Never raises for Kafka."""
        with self._lock:
            if self._clock() < self._away_until:
                return
            try:
                yield from self._read(TopicPartition(self._broker.topics.reservation_log, shard))
            except KafkaError as error:
                log.warning("shard %d: the log is left out, Kafka does not answer: %s", shard, error)
                self._away_until = self._clock() + RESPITE_SECONDS
                self.close()

    def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close(autocommit=False, timeout_ms=500)

    def _read(self, partition: Any) -> Iterator[Sequence[Entry]]:
        if self._consumer is None:
            self._consumer = self._broker.consumer(self._broker.topics.recorder, MAX_RECORDS)
        consumer, patience_ms = self._consumer, int(SILENCE_SECONDS * 1000)
        # Assigned, not subscribed: it asks for the recorder's offset without joining its group.
        consumer.assign([partition])
        begin = consumer.beginning_offsets([partition], timeout_ms=patience_ms)[partition]
        end = consumer.end_offsets([partition], timeout_ms=patience_ms)[partition]
        position = max(begin, consumer.committed(partition, timeout_ms=patience_ms) or 0)
        if position >= end:
            return
        consumer.seek(partition, position)
        quiet_until = self._clock() + SILENCE_SECONDS
        while position < end:
            records = consumer.poll(100, max_records=MAX_RECORDS).get(partition, [])
            yield from _batches(record.value for record in records if record.offset < end)
            if records:
                position = records[-1].offset + 1
                # Counted from here: the time that recording takes is not Kafka's silence.
                quiet_until = self._clock() + SILENCE_SECONDS
            elif self._clock() > quiet_until:
                raise KafkaError(f"silent at offset {position} of {end}")


def _batches(values: Iterable[bytes | None]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    for value in values:
        batch += _good(value)
        if len(batch) >= ENTRIES_PER_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _good(value: bytes | None) -> list[Entry]:
    """What can be recorded; the consumer buries the rest when it comes to it."""
    try:
        _, entries = decode_log(value)
    except Poison:
        return []
    return [entry for entry in entries if check_entry(entry) is None]
