"""What the handlers make of the stores' answers. The stores here only answer: what they do is tested on real ones."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from app.domain.errors import Unrecordable, refusal
from app.domain.ids import shard_of_event
from app.domain.model import Learned, Status
from app.domain.ports import Entry
from worker.events import encode_log
from worker.handlers import Later, ReceivePayments, RecordReservations, SettleBookings, refused_for_its_data

SHARDS = 16
AWAY = refusal("SERVICE_UNAVAILABLE", "Postgres is away")


@dataclass
class Record:
    value: bytes | None
    offset: int = 0
    headers: Sequence[tuple[str, bytes | None]] = ()
    topic: str = "t"
    partition: int = 1
    key: bytes | None = b"k"


@dataclass
class Answering:
    """Notes its calls; raises what `answer` gives for one."""

    answer: Callable[[Any], Exception | None] = lambda call: None
    calls: list[Any] = field(default_factory=list)

    def _call(self, call: Any) -> None:
        self.calls.append(call)
        if error := self.answer(call):
            raise error

    def record(self, entries: Sequence[Entry]) -> None:
        self._call([entry["seq"] for entry in entries])

    def settle(self, shard: int, confirmed: Sequence[str], ended: Mapping[str, Status], learned: Learned) -> None:
        self._call((shard, list(confirmed), [fact["version"] for fact in learned.zones]))

    def learn(self, shard: int, learned: Learned) -> None:
        self._call((shard, [], [fact["version"] for fact in learned.zones]))


def entries(*numbers: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"seq": f"1-{n}", "kind": "created", "booking_id": f"b-{n}"} | fields for n in numbers]


def of_log(*batches: list[dict[str, Any]]) -> list[Record]:
    return [Record(encode_log("t", 1, batch).value, offset) for offset, batch in enumerate(batches)]


def zone_opened(event_id: str, version: int) -> Record:
    value = json.dumps({"zone": {"event_id": event_id, "version": version}}).encode()
    return Record(value, version, [("ce_specversion", b"1.0"), ("ce_type", b"zone.opened")])


def confirmed(event_id: str, version: int) -> Record:
    booking = {"booking_id": f"b-{version}", "event_id": event_id, "status": "confirmed"}
    value = json.dumps({"booking": booking, "zone": {"event_id": event_id, "version": version}})
    return Record(value.encode(), version, [("ce_specversion", b"1.0"), ("ce_type", b"booking.confirmed")])


def events_of_shards() -> tuple[str, str]:
    """Two events of different shards."""
    names = [f"e{n}" for n in range(100)]
    other = next(name for name in names if shard_of_event(name, SHARDS) != shard_of_event("e0", SHARDS))
    return "e0", other


def test_small_records_are_recorded_in_one_call_and_in_order() -> None:
    store = Answering()
    outcome = RecordReservations(store)(of_log(entries(1), entries(2, 3), entries(4)))
    assert store.calls == [["1-1", "1-2", "1-3", "1-4"]]
    assert outcome.done == 3
    assert outcome.poisoned == []


def test_a_full_batch_leaves_the_other_records_for_the_next_call() -> None:
    store = Answering()
    outcome = RecordReservations(store, batch=2)(of_log(entries(1), entries(2, 3), entries(4)))
    assert store.calls == [["1-1", "1-2", "1-3"]]
    assert outcome.done == 2


def test_while_postgres_is_away_nothing_is_done() -> None:
    with pytest.raises(Later, match="Postgres is away"):
        RecordReservations(Answering(lambda call: AWAY))(of_log(entries(1)))


def test_a_poisonous_record_does_not_take_its_neighbours_with_it() -> None:
    store = Answering()
    before, after = of_log(entries(1), entries(2))
    outcome = RecordReservations(store)([before, Record(b"not json", 7), after])
    assert store.calls == [["1-1", "1-2"]]
    assert outcome.done == 3
    assert [(p.record.offset, p.payload) for p in outcome.poisoned] == [(7, b"not json")]


def test_an_entry_that_postgres_refuses_does_not_take_its_neighbours_with_it() -> None:
    store = Answering(lambda call: Unrecordable("bad") if "1-2" in call else None)
    outcome = RecordReservations(store)(of_log(entries(1, 2, 3)))
    assert store.calls == [["1-1", "1-2", "1-3"], ["1-1"], ["1-2"], ["1-3"]]
    assert outcome.done == 1
    (poisoned,) = outcome.poisoned
    assert "Unrecordable: bad" in poisoned.cause
    assert [entry["seq"] for entry in json.loads(poisoned.payload)["entries"]] == ["1-2"]


def test_the_refused_entries_of_one_record_are_one_dead_letter_that_can_be_sent_again() -> None:
    batch = entries(1, 2) + entries(3, kind="teleported")
    store = Answering(lambda call: Unrecordable("bad") if "1-1" in call else None)
    (poisoned,) = RecordReservations(store)(of_log(batch)).poisoned
    payload = json.loads(poisoned.payload)
    assert (payload["v"], payload["shard"]) == (1, 1)
    assert sorted(entry["seq"] for entry in payload["entries"]) == ["1-1", "1-3"]
    assert "teleported" in poisoned.cause
    assert "Unrecordable" in poisoned.cause


def test_a_bug_is_no_poison_and_makes_no_dead_letters() -> None:
    class UndefinedFunction(Exception):
        pass

    with pytest.raises(UndefinedFunction):
        RecordReservations(Answering(lambda call: UndefinedFunction()))(of_log(entries(1, 2)))
    assert not refused_for_its_data(UndefinedFunction())


def test_postgres_going_away_between_two_single_entries_repeats_the_whole_batch() -> None:
    answers = iter([Unrecordable("bad"), None, AWAY])
    with pytest.raises(Later):
        RecordReservations(Answering(lambda call: next(answers)))(of_log(entries(1, 2)))


def test_a_batch_of_events_settles_in_one_script_a_shard() -> None:
    one, other = events_of_shards()
    store = Answering()
    records = [confirmed(one, 1), zone_opened(other, 2), confirmed(one, 3)]
    assert SettleBookings(store, SHARDS)(records).done == 3
    assert store.calls == [
        (shard_of_event(one, SHARDS), ["b-1", "b-3"], [1, 3]),
        (shard_of_event(other, SHARDS), [], [2]),
    ]


def test_a_closed_shard_holds_up_only_what_comes_behind_it() -> None:
    one, other = events_of_shards()
    closed = shard_of_event(other, SHARDS)
    store = Answering(lambda call: refusal("SERVICE_UNAVAILABLE", "closed") if call[0] == closed else None)
    settle = SettleBookings(store, SHARDS)
    records = [zone_opened(one, 1), Record(b"{}", 2), zone_opened(other, 3), zone_opened(one, 4), Record(b"{}", 5)]
    outcome = settle(records)
    assert outcome.done == 2
    assert [poisoned.record.offset for poisoned in outcome.poisoned] == [2]
    with pytest.raises(Later, match="closed"):
        settle(records[2:])


def test_an_event_that_redis_refuses_does_not_take_its_neighbours_with_it() -> None:
    store = Answering(lambda call: refusal("VALIDATION_ERROR", "bad facts") if 2 in call[2] else None)
    outcome = SettleBookings(store, SHARDS)([confirmed("e", 1), confirmed("e", 2), confirmed("e", 3)])
    assert outcome.done == 3
    assert [(p.record.offset, p.cause) for p in outcome.poisoned] == [(2, "Refusal: VALIDATION_ERROR: bad facts")]


def paid(number: int, kind: str = "payment.succeeded") -> Record:
    names = {"ce_specversion": "1.0", "ce_type": kind, "ce_source": "/till", "ce_id": str(number)}
    value = json.dumps({"attempt_id": "00000000-0000-4000-8000-000000000001"}).encode()
    return Record(value, number, [(name, text.encode()) for name, text in names.items()])


def test_a_word_about_a_payment_that_no_index_can_hold_is_poison() -> None:
    """Postgres would refuse it for ever, and nothing behind it would be noted."""
    noted: list[str] = []
    receive = ReceivePayments(lambda source, notice: not noted.append(notice.message_id))
    long = replace(paid(1), headers=[*paid(1).headers[:-1], ("ce_id", b"x" * 1000)])
    outcome = receive([long, paid(2)])
    assert (outcome.done, noted) == (2, ["/till 2"])
    assert [poisoned.record.offset for poisoned in outcome.poisoned] == [1]


def test_words_about_payments_are_noted_up_to_the_first_for_which_postgres_is_away() -> None:
    store = Answering(lambda call: AWAY if call[1] == "/till 3" else None)
    receive = ReceivePayments(lambda source, notice: bool(store._call((source, notice.message_id, notice.succeeded))))
    outcome = receive([paid(1), Record(b"{}", 2), paid(2, "payment.failed"), paid(3), paid(4)])
    assert store.calls == [("kafka", "/till 1", True), ("kafka", "/till 2", False), ("kafka", "/till 3", True)]
    assert (outcome.done, [poisoned.record.offset for poisoned in outcome.poisoned]) == (3, [2])
    with pytest.raises(Later, match="Postgres is away"):
        receive([paid(3)])
