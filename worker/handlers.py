"""The consumers' handlers: decode, one service call, an outcome. They know nothing of offsets (only consumer.py does).

An outcome is how many records are done (recorded, settled or found poisonous), or `Later`: nothing is wrong with the
records, but something that they need is away.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from app.domain.errors import Refusal, Unrecordable
from app.domain.model import Learned, Status
from app.domain.payments import Notice
from app.domain.ports import Entry, Recorder
from worker.events import (
    Poison,
    Settling,
    check_entry,
    decode_event,
    decode_log,
    decode_payment_event,
    encode_log,
)

# One call to Postgres: large enough to pay for its commit, small enough to hold its locks only briefly.
ENTRIES_PER_CALL: Final = 500
# Of one turn, over all shards: a script that is told so much, all of one shard, stays at a few milliseconds.
EVENTS_PER_CALL: Final = 250


class Record(Protocol):
    """A record as kafka-python gives it."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


@dataclass(frozen=True, slots=True)
class Poisoned:
    """What is to become a dead letter: `payload` is the record, or the part of it that was refused."""

    record: Record
    cause: str
    payload: bytes


@dataclass(slots=True)
class Outcome:
    """`done` records, from the first on, need not come again. `poisoned` are among them."""

    done: int
    poisoned: list[Poisoned] = field(default_factory=list)


class Later(Exception):
    """None of the records could be handled now; its text says why."""


class Settle(Protocol):
    def settle(self, shard: int, confirmed: Sequence[str], ended: Mapping[str, Status], learned: Learned) -> None: ...
    def learn(self, shard: int, learned: Learned) -> None: ...


def refused_for_its_data(error: Exception) -> bool:
    """Whether asking again can never help, because it is the message that is wrong.

    Anything but a definite refusal or `Unrecordable` is a bug or a wrong deployment: it must not turn good messages
    into dead letters, so it is logged whole, and tried again until somebody has repaired it."""
    if isinstance(error, Refusal):
        return error.kind.code != "SERVICE_UNAVAILABLE"
    return isinstance(error, Unrecordable)


class RecordReservations:
    """`reservation.log` to Postgres, in batches; a poisonous entry does not take its neighbours with it."""

    def __init__(self, recorder: Recorder, batch: int = ENTRIES_PER_CALL) -> None:
        self._recorder = recorder
        self._batch = batch

    def __call__(self, records: Sequence[Record]) -> Outcome:
        """Takes as many whole records as bring together a batch. Raises `Later`."""
        outcome = Outcome(0)
        entries: list[Entry] = []
        sources: list[int] = []
        refused: defaultdict[int, list[tuple[Any, str]]] = defaultdict(list)
        for index, record in enumerate(records):
            if len(entries) >= self._batch:
                break
            outcome.done += 1
            try:
                _, found = decode_log(record.value)
            except Poison as poison:
                outcome.poisoned.append(Poisoned(record, str(poison), record.value or b""))
                continue
            for entry in found:
                if cause := check_entry(entry):
                    refused[index].append((entry, cause))
                else:
                    entries.append(entry)
                    sources.append(index)
        for position, cause in self._record(entries):
            refused[sources[position]].append((entries[position], cause))
        outcome.poisoned += [_refused_part(records[index], parts) for index, parts in sorted(refused.items())]
        return outcome

    def _record(self, entries: Sequence[Entry]) -> list[tuple[int, str]]:
        """The positions that Postgres refuses, each with the cause; all others are recorded. Raises `Later`."""
        if not entries:
            return []
        try:
            self._recorder.record(entries)
            return []
        except Exception as error:
            _wait_if_unavailable(error)
            if not refused_for_its_data(error):
                raise
            if len(entries) == 1:
                return [(0, f"{type(error).__name__}: {error}")]
        return [(i, cause) for i in range(len(entries)) for _, cause in self._record(entries[i : i + 1])]


def _refused_part(record: Record, parts: Sequence[tuple[Any, str]]) -> Poisoned:
    """One dead letter a record, with the refused entries only, in the form of a record: so it can be sent again."""
    payload = encode_log(record.topic, record.partition, [entry for entry, _ in parts]).value
    causes = sorted({cause for _, cause in parts})
    return Poisoned(record, f"{len(parts)} entries: " + "; ".join(causes)[:2000], payload)


class SettleBookings:
    """`booking.events` to Redis: confirmed bookings let go of their holds, facts are learned; one script a shard."""

    def __init__(self, reservations: Settle, shards: int, batch: int = EVENTS_PER_CALL) -> None:
        self._reservations = reservations
        self._shards = shards
        self._batch = batch

    def __call__(self, records: Sequence[Record]) -> Outcome:
        """Done are all records before the first whose shard is closed. Raises `Later` if that is the first of all."""
        taken = records[: self._batch]
        poisoned: dict[int, Poisoned] = {}
        by_shard: defaultdict[int, list[tuple[int, Settling]]] = defaultdict(list)
        for index, record in enumerate(taken):
            try:
                settling = decode_event(record.value, record.headers, self._shards)
            except Poison as poison:
                poisoned[index] = Poisoned(record, str(poison), record.value or b"")
                continue
            if settling:
                by_shard[settling.shard].append((index, settling))
        done, reason = len(taken), ""
        for shard, settlings in by_shard.items():
            try:
                refused = self._settle(shard, settlings)
            except Later as later:
                # Settling is idempotent, so what other shards have behind this record may well come again.
                done, reason = min(done, settlings[0][0]), str(later)
                continue
            poisoned |= {i: Poisoned(taken[i], cause, taken[i].value or b"") for i, cause in refused}
        if not done:
            raise Later(reason)
        return Outcome(done, [poisoned[index] for index in sorted(poisoned) if index < done])

    def _settle(self, shard: int, settlings: Sequence[tuple[int, Settling]]) -> list[tuple[int, str]]:
        """The records that Redis refuses, each with the cause. Raises `Later`."""
        decided = {booking: status for _, s in settlings for booking, status in s.decided.items()}
        confirmed = [booking for booking, status in decided.items() if status == "confirmed"]
        ended = {booking: status for booking, status in decided.items() if status != "confirmed"}
        learned = Learned(
            tuple(fact for _, s in settlings for fact in s.learned.zones),
            tuple(fact for _, s in settlings for fact in s.learned.users),
        )
        try:
            if decided:
                self._reservations.settle(shard, confirmed, ended, learned)
            else:
                self._reservations.learn(shard, learned)
            return []
        except Exception as error:
            _wait_if_unavailable(error)
            if not refused_for_its_data(error):
                raise
            if len(settlings) == 1:
                return [(settlings[0][0], f"{type(error).__name__}: {error}")]
        return [refused for one in settlings for refused in self._settle(shard, [one])]


class ReceivePayments:
    """`payment.events` to the inbox of payments, as a webhook comes there: the provider is then asked by the saga."""

    def __init__(self, note: Callable[[str, Notice], bool]) -> None:
        self._note = note

    def __call__(self, records: Sequence[Record]) -> Outcome:
        """Done are all records before the first for which Postgres is away. Raises `Later` if that is the first."""
        outcome = Outcome(0)
        for record in records:
            try:
                self._note("kafka", decode_payment_event(record.value, record.headers))
            except Poison as poison:
                outcome.poisoned.append(Poisoned(record, str(poison), record.value or b""))
            except Refusal as refused:
                if not outcome.done:
                    _wait_if_unavailable(refused)
                    raise
                break
            outcome.done += 1
        return outcome


def _wait_if_unavailable(error: Exception) -> None:
    if isinstance(error, Refusal) and error.kind.code == "SERVICE_UNAVAILABLE":
        raise Later(error.detail) from error
