"""consumer: reads a topic as a member of a group. The only place that knows offsets: they are committed after the
handler's store has committed, so that whatever dies in between brings a repetition, never a loss."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from kafka import TopicPartition
from kafka.errors import CommitFailedError, RebalanceInProgressError, UnknownMemberIdError
from kafka.structs import OffsetAndMetadata

from app.domain.errors import Refusal
from worker.broker import Broker, KafkaError
from worker.events import Message
from worker.handlers import Later, Outcome, Poisoned, Record
from worker.outage import Outage
from worker.publisher import Publisher

log = logging.getLogger(__name__)

Headers = Sequence[tuple[str, bytes | None]]
Handler = Callable[[Sequence[Any]], Outcome]

# A poll waits this long for news: how quickly a stop is noticed.
POLL_MS: Final = 500
# Records of one poll; the bytes are bounded by the fetch. Heartbeats have a thread of their own, so that a slow store
# costs no membership before `max_poll_interval_ms` (five minutes).
MAX_RECORDS: Final = 500
# Under load offsets are committed this often, not after every poll: a commit costs the broker as much as a batch does.
# Whatever dies in between has more repeated, which changes nothing.
COMMIT_SECONDS: Final = 0.5
COMMIT_TIMEOUT_MS: Final = 3_000
CLOSE_TIMEOUT_MS: Final = 1_500
# After this long the rest of a poll goes back unread: however slow a store is, we poll again well within the five
# minutes after which the group would go on without us.
ROUND_SECONDS: Final = 10.0
FIRST_WAIT_SECONDS: Final = 0.1
LONGEST_WAIT_SECONDS: Final = 2.0
# poll() is silent while the broker is away, and also when the group goes on without us: with nothing to read we ask.
PROBE_SECONDS: Final = 5.0
PROBE_TIMEOUT_MS: Final = 2_000
# Without a partition for so long we join anew; a spare worker, which gets none, tries less and less often.
FIRST_IDLE_SECONDS: Final = 10.0
LONGEST_IDLE_SECONDS: Final = 300.0


class NoLongerMember(KafkaError):  # type: ignore[misc]
    """The group goes on without us although the client does not know it (kafka-python 3.0.12: a poll whose time is up
    between JoinGroup and SyncGroup leaves the group's leader without heartbeats, for ever)."""


class DeadLetters(Protocol):
    def bury(
        self, topic: str, partition: int, offset: int, cause: str, payload: bytes, key: bytes, headers: Headers
    ) -> None: ...


class Waiting:
    """Partitions whose store is away: until when, and how long the next wait is."""

    def __init__(self) -> None:
        self._until: dict[Any, tuple[float, float]] = {}

    def put(self, partition: Any) -> None:
        _, last = self._until.get(partition, (0.0, 0.0))
        wait = min(max(last * 2, FIRST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)
        self._until[partition] = (time.monotonic() + wait, wait)

    def over(self, partition: Any) -> None:
        self._until.pop(partition, None)

    def due(self) -> list[Any]:
        now = time.monotonic()
        return [partition for partition, (until, _) in self._until.items() if until <= now]


class Consumer:
    """One topic, one group, one handler, one thread."""

    def __init__(
        self,
        name: str,
        broker: Broker,
        topic: str,
        group: str,
        handler: Handler,
        dead_letters: DeadLetters,
        kafka: Outage,
        stop: threading.Event,
        together: bool = False,
    ) -> None:
        """`together`: the handler is given the records of all partitions at once. For one that writes to one store:
        where that is away for one partition, all of them wait."""
        self._name = name
        self._broker = broker
        self._topic = topic
        self._group = group
        self._handler = handler
        self._dead_letters = dead_letters
        self._kafka = kafka
        self._store = Outage(f"what the {name} writes to")
        self.together = together
        self._publisher = Publisher(broker, stop)
        self.idle_s = FIRST_IDLE_SECONDS
        self.done = 0
        self.lag = 0
        self.poisoned = 0

    def run(self, stop: threading.Event) -> None:
        """Until `stop`. Raises `KafkaError` and whatever is a bug; called again, it goes on from what was committed."""
        self._broker.ensure_topics()
        consumer = self._broker.consumer(self._group, MAX_RECORDS, self._topic)
        try:
            _Life(self, consumer, stop).run()
        finally:
            self._publisher.close()
            consumer.close(autocommit=False, timeout_ms=CLOSE_TIMEOUT_MS)

    def handle(self, records: Sequence[Record]) -> int:
        """How many of the records are done, dead letters included. Raises `Later`, `KafkaError`."""
        outcome = self._handler(records)
        for poisoned in outcome.poisoned:
            self._bury(poisoned)
        self._store.up()
        self.done += outcome.done
        return outcome.done

    def waits(self, reason: Exception) -> None:
        self._store.down(reason)

    def reachable(self) -> None:
        self._kafka.up()

    def unreachable(self, error: KafkaError) -> None:
        self._kafka.down(error)

    def _bury(self, poisoned: Poisoned) -> None:
        """Postgres first, for good; then the topic, for those who watch. A repetition changes nothing in Postgres."""
        record = poisoned.record
        where = (record.topic, record.partition, record.offset)
        # The cause may quote the message: Postgres' text takes neither NUL nor half a surrogate pair.
        cause = poisoned.cause.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
        try:
            self._dead_letters.bury(*where, cause, poisoned.payload, record.key or b"", record.headers)
        except Refusal as refused:
            if refused.kind.code == "SERVICE_UNAVAILABLE":
                raise Later(refused.detail) from refused
            raise
        error = self._publisher.publish([_dead(self._broker.topics.booking_dead, poisoned)])[0]
        if error and getattr(error, "retriable", True):
            raise error
        if error:  # too large for its topic, say: Postgres has it, and that is enough
            log.warning("%s: not published as a dead letter: %s", self._name, error)
        self.poisoned += 1
        log.error("%s: dead letter %s[%d]@%d: %s", self._name, *where, cause)


class _Life:
    """From one connection to Kafka to its loss."""

    def __init__(self, owner: Consumer, consumer: Any, stop: threading.Event) -> None:
        self._owner = owner
        self._consumer = consumer
        self._stop = stop
        self._waiting = Waiting()
        self._uncommitted: dict[Any, int] = {}
        self._read: dict[Any, int] = {}
        self._late_at = 0.0
        self._commit_at = 0.0
        self._probe_at = time.monotonic() + PROBE_SECONDS
        self._idle_since = time.monotonic()

    def run(self) -> None:
        while not self._stop.is_set():
            self._resume()
            polled = self._consumer.poll(POLL_MS, max_records=MAX_RECORDS)
            self._late_at = time.monotonic() + ROUND_SECONDS
            batches: list[list[Record]] = list(polled.values())
            for records in [[record for batch in batches for record in batch]] if self._owner.together else batches:
                self._work(records)
                if self._stop.is_set():
                    break
            if not polled or time.monotonic() >= self._commit_at:
                self._commit()
                self._commit_at = time.monotonic() + COMMIT_SECONDS
            self._probe(bool(polled))
            self._measure()
        self._commit()

    def _work(self, records: Sequence[Record]) -> None:
        """All records, each partition's in order, or those that can be handled now; their partitions then wait with the
        rest."""
        while records and not self._stop.is_set():
            if time.monotonic() > self._late_at:
                for partition, offset in _heads(records).items():
                    self._go_back(partition, offset)
                return
            try:
                done = self._owner.handle(records)
            except Later as later:
                self._owner.waits(later)
                for partition, offset in _heads(records).items():
                    self._waiting.put(partition)
                    if self._go_back(partition, offset):
                        # Other partitions go on, and so does polling: we stay a member of the group.
                        self._consumer.pause(partition)
                return
            except Exception:
                # The bug will be logged and this consumer be replaced: what is done is done, and need not come again.
                self._commit()
                raise
            for record in records[:done]:
                partition = TopicPartition(record.topic, record.partition)
                self._waiting.over(partition)
                self._uncommitted[partition] = self._read[partition] = record.offset + 1
            records = records[done:]

    def _go_back(self, partition: Any, offset: int) -> bool:
        """The next poll brings the record at `offset` again; False if the partition is no longer ours."""
        self._read[partition] = offset
        if partition not in self._consumer.assignment():
            return False
        self._consumer.seek(partition, offset)
        return True

    def _resume(self) -> None:
        assigned = self._consumer.assignment() or ()
        for partition in self._waiting.due():
            if partition in assigned:
                self._consumer.resume(partition)
            else:
                self._waiting.over(partition)

    def _commit(self) -> None:
        if not self._uncommitted:
            return
        offsets = {partition: OffsetAndMetadata(offset, "", -1) for partition, offset in self._uncommitted.items()}
        try:
            self._consumer.commit(offsets, timeout_ms=COMMIT_TIMEOUT_MS)
        except (CommitFailedError, RebalanceInProgressError) as error:
            # The partitions are being moved: their next owner repeats what we did, which changes nothing.
            log.info("offsets not committed: %s", error)
        except KafkaError as error:
            # Our own position stands; the next commit includes this one.
            self._owner.unreachable(error)
            return
        self._uncommitted.clear()
        self._owner.reachable()

    def _measure(self) -> None:
        """How many records of our partitions are still to come, as far as the broker has told. Asks nobody."""
        ours = self._consumer.assignment() or ()
        # One that comes back has been read by somebody else meanwhile.
        self._read = {partition: at for partition, at in self._read.items() if partition in ours}
        ends = {partition: self._consumer.highwater(partition) or 0 for partition in self._read}
        self._owner.lag = sum(max(0, ends[partition] - at) for partition, at in self._read.items())

    def _probe(self, heard: bool) -> None:
        """Committing where we are anyway is what only a member may do. Raises `NoLongerMember`."""
        now = time.monotonic()
        if heard:
            self._probe_at = now + PROBE_SECONDS
        elif now >= self._probe_at:
            self._probe_at = now + PROBE_SECONDS
            try:
                self._prove_membership(now)
                self._owner.reachable()
            except (CommitFailedError, RebalanceInProgressError, UnknownMemberIdError) as error:
                raise NoLongerMember(str(error)) from error
            except NoLongerMember:
                raise
            except KafkaError as error:
                self._owner.unreachable(error)

    def _prove_membership(self, now: float) -> None:
        assigned = list(self._consumer.assignment() or ())
        if assigned:
            self._idle_since, self._owner.idle_s = now, FIRST_IDLE_SECONDS
            positions = {
                partition: self._consumer.position(partition, timeout_ms=PROBE_TIMEOUT_MS) for partition in assigned
            }
            here = {p: OffsetAndMetadata(at, "", -1) for p, at in positions.items() if at is not None}
            self._consumer.commit(here, timeout_ms=PROBE_TIMEOUT_MS)
        elif now - self._idle_since >= self._owner.idle_s:
            self._owner.idle_s = min(self._owner.idle_s * 2, LONGEST_IDLE_SECONDS)
            raise NoLongerMember("no partition was assigned")
        else:
            partition = TopicPartition(next(iter(self._consumer.subscription())), 0)
            self._consumer.end_offsets([partition], timeout_ms=PROBE_TIMEOUT_MS)


def _heads(records: Sequence[Record]) -> dict[Any, int]:
    """Where each partition's records begin."""
    heads: dict[Any, int] = {}
    for record in records:
        heads.setdefault(TopicPartition(record.topic, record.partition), record.offset)
    return heads


def _dead(topic: str, poisoned: Poisoned) -> Message:
    record = poisoned.record
    headers = {
        "cause": poisoned.cause,
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
    }
    return Message(
        topic,
        record.key or b"",
        poisoned.payload,
        headers=tuple((name, text.encode("utf-8", "replace")) for name, text in headers.items()),
    )
