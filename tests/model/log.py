"""What Kafka carries, as a list: it keeps everything, may be read again from any place, and knows what is committed.
Records are made and handled by the worker's own code."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from app.domain.ports import Entry
from tests.model.stage import Broken
from tests.model.terms import RECORDED_AS, SHARD, SHARDS
from tests.support.transitions import Transition
from worker.events import Message, decode_log, encode_event, encode_log
from worker.handlers import Later, RecordReservations, SettleBookings

LOG = "reservation.log"
EVENTS = "booking.events"


@dataclass
class Record:
    """As kafka-python gives it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    committed: bool = False


@dataclass
class Log:
    recorder: Any
    reservations: Any
    off: str | None
    records: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._record = RecordReservations(self.recorder)
        self._settle = SettleBookings(self.reservations, SHARDS)

    def append_entries(self, entries: Sequence[Entry]) -> None:
        self._append(encode_log(LOG, SHARD, entries))

    def append_events(self, rows: Sequence[Any]) -> None:
        for row in rows:
            self._append(encode_event(EVENTS, row))

    def _append(self, message: Message) -> None:
        self.records.append(
            Record(message.topic, SHARD, len(self.records), message.key, message.value, message.headers)
        )

    def uncommitted(self) -> list[Record]:
        return [record for record in self.records if not record.committed]

    def commit(self, records: Sequence[Record]) -> None:
        for record in records:
            record.committed = True

    def handle(self, record: Record) -> bool:
        """Whether it is done with; else it comes again."""
        handler: Any = self._record if record.topic == LOG else self._settle
        try:
            outcome = handler([record])
        except Later:
            return self.off == "facts_wait_for_the_shard" and record.topic == EVENTS
        assert not outcome.poisoned, outcome.poisoned
        return True

    def replay(self, rng: Random) -> None:
        """All of it once more, in another order."""
        for record in rng.sample(self.records, len(self.records)):
            if not self.handle(record):
                raise Broken("closed for ever: a record of the log still waits for its shard")

    def unrecorded(self, shard: int) -> Iterator[Sequence[Entry]]:
        """For the rebuild: what the log holds and nobody has committed."""
        for record in self.uncommitted():
            if record.topic == LOG:
                yield decode_log(record.value)[1]

    def transitions(self) -> Iterator[tuple[str, Transition]]:
        """What Redis has told, by booking."""
        for record in self.records:
            for entry in decode_log(record.value)[1] if record.topic == LOG else ():
                epoch = int(entry["seq"].partition("-")[0])
                yield entry["booking_id"], Transition(epoch, int(entry["version"]), *RECORDED_AS[entry["kind"]])

    def told(self) -> dict[str, list[str]]:
        """Of each booking, what the world was told of it, duplicates by id taken once."""
        ids = {dict(record.headers).get("ce_id") for record in self.records if record.topic == EVENTS}
        told: defaultdict[str, list[str]] = defaultdict(list)
        for ce_id in sorted((ce_id or b"").decode() for ce_id in ids):
            booking_id, _, status = ce_id.partition(":")
            if status.isalpha():
                told[booking_id].append(status)
        return told
