"""relay: carries both outboxes to Kafka, at least once, in order, and marks only what Kafka has acknowledged.

Each turn reads from the head and trims after the acknowledgement. So nothing has to be claimed, a relay that died has
left nothing behind, and any number of relays at once produce duplicates but never a gap or a first-time reordering.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from app.domain.errors import Refusal
from app.domain.ports import Entry
from worker.broker import KafkaError
from worker.events import REPLAYED, Message, OutboxRow, encode_event, encode_log, encode_replay
from worker.outage import Outage
from worker.publisher import Publisher
from worker.topics import MESSAGE_MAX_BYTES, Topics

log = logging.getLogger(__name__)

ENTRIES_PER_RECORD: Final = 500
# Of one shard: what a hot one is given in a turn at ten thousand reservations a second.
ENTRIES_PER_TURN: Final = 1_000
ROWS_PER_TURN: Final = 500
RECORD_MAX_BYTES: Final = MESSAGE_MAX_BYTES // 2

# From one turn to the next, unless more waits than a turn carries. Under load a turn then finds hundreds of entries: a
# turn, a record and a transaction of the recorder cost as much for one as for fifty.
TURN_SECONDS: Final = 0.1
# Where nothing waits the turns are farther and farther apart.
IDLE_FACTOR: Final = 1.5
RETRY_SECONDS: Final = 0.5


class ShardOutboxes(Protocol):
    """Redis' outboxes, one stream a shard."""

    def heads(self, shards: Sequence[int], limit: int) -> Mapping[int, Sequence[Entry]]: ...
    def acknowledge(self, last_seqs: Mapping[int, str]) -> None: ...


class RowOutbox(Protocol):
    """Postgres' outbox, a table."""

    def read(self, limit: int) -> Sequence[Any]: ...
    def acknowledge(self, ids: Sequence[int]) -> None: ...


class Relay:
    """What both relays have in common: turns, naps, and patience with whatever is away."""

    idle_seconds = TURN_SECONDS
    """From one turn to the next at most, where nothing waits."""

    def __init__(self, publisher: Publisher, kafka: Outage, store: Outage) -> None:
        self._publisher = publisher
        self._kafka = kafka
        self._store = store
        self.carried = 0
        self.more = False
        """Whether the last turn found more than it could carry."""

    def turn(self) -> int:
        """Carries what is at the head; how many were marked. Raises `KafkaError`, `Refusal`."""
        raise NotImplementedError

    def run(self, stop: threading.Event) -> None:
        turn_s = TURN_SECONDS
        try:
            while not stop.is_set():
                began = time.monotonic()
                carried = self._patient(self.turn)
                if carried is None:
                    stop.wait(RETRY_SECONDS)
                    continue
                self.carried += carried
                turn_s = TURN_SECONDS if carried else min(turn_s * IDLE_FACTOR, self.idle_seconds)
                if not self.more:
                    stop.wait(turn_s - (time.monotonic() - began))
        finally:
            self._publisher.close()

    def _patient(self, act: Callable[[], int]) -> int | None:
        """What `act` answers; None if something it needs is away."""
        try:
            carried = act()
        except KafkaError as error:
            self._kafka.down(error)
            return None
        except Refusal as refused:
            if refused.kind.code != "SERVICE_UNAVAILABLE":
                raise
            self._store.down(refused.detail)
            return None
        self._store.up()
        return carried

    def _publish(self, messages: Sequence[Message]) -> list[KafkaError | None]:
        results = self._publisher.publish(messages)
        failed = [error for error in results if error is not None]
        if failed:
            self._kafka.down(failed[0])
        else:
            self._kafka.up()
        return results


class LogRelay(Relay):
    """Redis' streams to `reservation.log`: of a shard as many records as its turn needs, in its order."""

    def __init__(
        self, outbox: ShardOutboxes, shards: Iterable[int], publisher: Publisher, topics: Topics, kafka: Outage
    ) -> None:
        super().__init__(publisher, kafka, Outage("Redis (for the relay)"))
        self._outbox = outbox
        self._shards = list(shards)
        self._topic = topics.reservation_log

    def turn(self) -> int:
        read = self._outbox.heads(self._shards, ENTRIES_PER_TURN)
        self.more = any(len(entries) == ENTRIES_PER_TURN for entries in read.values())
        if not read:
            return 0
        parts = [part for shard, entries in read.items() for part in in_records(self._topic, shard, entries)]
        results = self._publish([message for _, _, message in parts])
        carried, there, lost = 0, dict[int, str](), set[int]()
        for (shard, entries, _), error in zip(parts, results, strict=True):
            if error is not None:
                lost.add(shard)  # what follows it is sent again, even if it arrived: the order stays that of the stream
            elif shard not in lost:
                there[shard] = entries[-1]["seq"]
                carried += len(entries)
        if there:
            self._outbox.acknowledge(there)
        if any(results):
            raise next(error for error in results if error is not None)
        return carried


class RowRelay(Relay):
    """Postgres' outbox to `booking.events`, in the order of the rows' ids. While seats are only reserved nothing is in
    it, and what it tells, Redis has mostly been told before."""

    idle_seconds = 0.3

    def __init__(self, outbox: RowOutbox, publisher: Publisher, topics: Topics, kafka: Outage) -> None:
        super().__init__(publisher, kafka, Outage("Postgres (for the relay)"))
        self._outbox = outbox
        self._topics = topics

    def turn(self) -> int:
        rows: Sequence[OutboxRow] = self._outbox.read(ROWS_PER_TURN)
        self.more = len(rows) == ROWS_PER_TURN
        if not rows:
            return 0
        results = self._publish_rows(rows)
        # Rows behind the first failure are sent again even if they arrived: their order stays that of the outbox.
        first_failure = next((i for i, error in enumerate(results) if error is not None), len(rows))
        if first_failure:
            self._outbox.acknowledge([row.id for row in rows[:first_failure]])
        if first_failure < len(rows) and (error := results[first_failure]) is not None:
            raise error
        return len(rows)

    def _publish_rows(self, rows: Sequence[OutboxRow]) -> list[KafkaError | None]:
        """A dead letter of a topic that is no more stays in Postgres, and holds nobody up."""
        messages = [self._message(row) for row in rows]
        sent = iter(self._publish([message for message in messages if message]))
        return [next(sent) if message else None for message in messages]

    def _message(self, row: OutboxRow) -> Message | None:
        if row.type != REPLAYED:
            return encode_event(self._topics.booking_events, row)
        message = encode_replay(self._topics.names(), row)
        if message is None:
            log.error("%s is not sent again: there is no topic %s", row.event_id, row.data["topic"])
        return message


def in_records(topic: str, shard: int, entries: Sequence[Entry]) -> Iterator[tuple[int, Sequence[Entry], Message]]:
    """All of the entries, in their order, each part with the record that carries it: one that Kafka takes."""
    while entries:
        part = fitting(topic, shard, entries[:ENTRIES_PER_RECORD])
        entries = entries[len(part[1]) :]
        yield part


def fitting(topic: str, shard: int, entries: Sequence[Entry]) -> tuple[int, Sequence[Entry], Message]:
    """As many of the entries, from the first on, as make a record that Kafka takes."""
    message = encode_log(topic, shard, entries)
    while len(message.value) > RECORD_MAX_BYTES and len(entries) > 1:
        entries = entries[: len(entries) // 2]
        message = encode_log(topic, shard, entries)
    return shard, entries, message
