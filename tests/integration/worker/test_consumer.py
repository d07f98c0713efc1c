import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.domain.ids import shard_of_event
from app.domain.model import Seats
from dev.postgres import Postgres
from tests.integration.worker.conftest import Line, wait_until
from tests.support.seats import HOLD_SECONDS, Sale, reopen
from worker.events import Message, encode_log
from worker.handlers import Outcome, RecordReservations


def shard_of(sale: Sale) -> int:
    return shard_of_event(sale.event_id, len(sale.shop.shards))


def statuses(sale: Sale) -> list[tuple[str, str]]:
    return sale.rows("SELECT user_id, status FROM booking.bookings WHERE event_id = %s ORDER BY 1", sale.event_id)


def send(line: Line, *messages: Message) -> None:
    publisher = line.publisher()
    assert not any(publisher.publish(messages))
    publisher.close()


def raw(line: Line, shard: int, value: bytes) -> Message:
    return Message(line.topics.reservation_log, b"k", value, partition=shard)


@contextmanager
def closed(sale: Sale) -> Iterator[None]:
    """The event's shard is frozen inside, and open again afterwards."""
    sale.shop._rebuilding[0].freeze(shard_of(sale), "a-test")
    try:
        yield
    finally:
        reopen(sale.shop)


def test_what_happens_in_redis_is_recorded_and_what_is_confirmed_is_settled(sale: Sale, line: Line) -> None:
    for name, part in (("relay", line.log_relay()), ("rows", line.row_relay()), ("rec", line.recorder())):
        line.run(name, part.run)
    line.run("settler", line.settler().run)
    booking_id = sale.reserve("ann", 2).booking.booking_id
    bob = sale.reserve("bob", 3).booking.booking_id
    sale.shop.release("bob", bob)
    # As a web process that dies between Postgres' commit and Redis' settle.
    pin = sale.shop.reservations.confirm(booking_id, "ann", None)
    (decision,) = sale.shop.ledger.confirm_bookings([pin])
    assert decision.outcome == "CONFIRMED"
    wait_until(lambda: sale.seats() == Seats(capacity=10, confirmed=2, held=0, available=8))
    wait_until(lambda: statuses(sale) == [("ann", "confirmed"), ("bob", "released")])
    assert line.dead_letters() == []


def test_poison_becomes_a_dead_letter_with_its_cause_and_its_partition_moves_on(sale: Sale, line: Line) -> None:
    sale.reserve("ann")
    sale.reserve("bob")
    sale.reserve("cid")
    shard = shard_of(sale)
    ann, bob, cid = (dict(entry) for entry in sale.shop.outbox.read(shard, 10))
    bad = bob | {"booking_id": "not-a-uuid", "seq": "1-999999"}
    unknown = bob | {"kind": "teleported"}
    nul = bob | {"user_id": "b\0b"}
    topic = line.topics.reservation_log
    send(
        line,
        raw(line, shard, b"not json"),
        raw(line, shard, b'{"v":2,"shard":1,"entries":[]}'),
        raw(line, shard, b"x" * 1_000_000),
        encode_log(topic, shard, [ann, bad, unknown, bob]),
        encode_log(topic, shard, [nul]),
        encode_log(topic, shard, [cid]),
    )
    recorder = line.recorder()
    line.run("recorder", recorder.run)
    wait_until(lambda: line.committed(shard) == 6)
    assert [user for user, _ in statuses(sale)] == ["ann", "bob", "cid"]
    letters = line.dead_letters()
    causes = ["not JSON", "version 2", "not JSON", "2 entries: ", "1 entries: "]
    assert [cause.startswith(c) or c in cause for (_, cause, _), c in zip(letters, causes, strict=True)] == [True] * 5
    assert bytes(letters[0][2]) == b"not json"
    assert json.loads(bytes(letters[3][2]))["entries"] == [unknown, bad] or json.loads(bytes(letters[3][2]))[
        "entries"
    ] == [bad, unknown]
    dead = line.read(line.topics.booking_dead, 5)
    assert {dict(record.headers)["topic"] for record in dead} == {topic.encode()}
    assert recorder.poisoned == 5


def test_partitions_share_a_transaction_and_poison_in_one_is_that_partitions_alone(
    open_event: Callable[..., Sale], line: Line
) -> None:
    by_shard: dict[int, Sale] = {}
    while len(by_shard) < 3:
        sale = open_event()
        by_shard.setdefault(shard_of(sale), sale)
    records = []
    for shard, sale in by_shard.items():
        for user in ("ann", "bob"):
            sale.reserve(user)
        entries = [e for e in sale.shop.outbox.read(shard, 500) if e["event_id"] == sale.event_id]
        records += [encode_log(line.topics.reservation_log, shard, [entry]) for entry in entries]
    poisoned = next(iter(by_shard))
    send(line, *records, raw(line, poisoned, b"not json"))
    line.run("recorder", line.recorder().run)
    for shard, sale in by_shard.items():
        offset = 3 if shard == poisoned else 2
        wait_until(lambda shard=shard, offset=offset: line.committed(shard) == offset)  # type: ignore[misc]
        assert statuses(sale) == [("ann", "reserved"), ("bob", "reserved")]
    assert [(shard, cause.partition(":")[0]) for shard, cause, _ in line.dead_letters()] == [(poisoned, "not JSON")]


def test_poison_among_the_events_does_not_stop_the_settler(sale: Sale, line: Line) -> None:
    topic = line.topics.booking_events
    good = [("ce_specversion", b"1.0"), ("ce_type", b"shard.rebuilt")]
    send(
        line,
        Message(topic, b"k", b"{}", partition=0, headers=(("ce_specversion", b"1.0"), ("ce_type", b"booking.lost"))),
        Message(topic, b"k", b"{}", partition=0),
        Message(topic, b"k", b"{}", partition=0, headers=tuple(good)),
    )
    settler = line.settler()
    line.run("settler", settler.run)
    wait_until(lambda: settler.done == 3)
    assert [cause for _, cause, _ in line.dead_letters()] == [
        "type 'booking.lost' is unknown",
        "specversion None of CloudEvents is unknown",
    ]


def test_the_settler_waits_for_a_closed_shard_while_the_recorder_goes_on(sale: Sale, line: Line) -> None:
    booking_id = sale.reserve("ann", 2).booking.booking_id
    sale.reserve("bob", 3)
    pin = sale.shop.reservations.confirm(booking_id, "ann", None)
    sale.shop.ledger.confirm_bookings([pin])
    line.row_relay().turn()
    settler, recorder = line.settler(), line.recorder()
    with closed(sale):
        line.run("settler", settler.run)
        line.run("recorder", recorder.run)
        wait_until(lambda: settler._store.is_down)
        line.log_relay().turn()
        wait_until(lambda: ("bob", "reserved") in statuses(sale))
        assert settler.done == 0
    # The rebuild has dropped the hold; what the settler still has to say changes nothing.
    wait_until(lambda: settler.done >= 1)
    assert sale.seats() == Seats(capacity=10, confirmed=2, held=3, available=5)
    assert line.dead_letters() == []


def test_a_release_that_is_recorded_after_a_rebuild_gives_the_seats_back(sale: Sale, line: Line) -> None:
    booking_id = sale.reserve("ann", 2).booking.booking_id
    sale.record()
    sale.shop.release("ann", booking_id)
    (released,) = sale.shop.outbox.read(shard_of(sale), 10)
    sale.shop.outbox.acknowledge({shard_of(sale): released["seq"]})  # Kafka has it, and cannot be read for a while
    with closed(sale):
        pass
    assert sale.seats().held == 2  # promised again, for all that Postgres knew
    send(line, encode_log(line.topics.reservation_log, shard_of(sale), [released]))
    for name, part in (("rows", line.row_relay()), ("recorder", line.recorder()), ("settler", line.settler())):
        line.run(name, part.run)
    wait_until(lambda: sale.seats() == Seats(capacity=10, confirmed=0, held=0, available=10))
    assert sale.shop.get("ann", booking_id).status == "released"


def test_a_worker_that_dies_between_the_database_and_the_offset_repeats_and_changes_nothing(
    sale: Sale, line: Line
) -> None:
    record = RecordReservations(sale.shop.recorder)
    deaths = iter([True])

    def dies_once(records: Any) -> Outcome:
        outcome = record(records)
        if next(deaths, False):
            raise RuntimeError("killed here")
        return outcome

    booking_id = sale.reserve("ann").booking.booking_id
    line.log_relay().turn()
    recorder = line.recorder(dies_once)
    line.run("recorder", recorder.run)
    wait_until(lambda: recorder.done == 1)
    assert statuses(sale) == [("ann", "reserved")]
    assert len(sale.history(booking_id)) == 1
    wait_until(lambda: line.committed(shard_of(sale)) == 1)


def test_while_postgres_is_away_the_recorder_waits_and_then_loses_nothing(
    sale: Sale, line: Line, postgres: Postgres
) -> None:
    recorder = line.recorder()
    line.run("recorder", recorder.run)
    sale.reserve("ann")
    line.log_relay().turn()
    wait_until(lambda: statuses(sale) == [("ann", "reserved")])
    postgres.kill()
    try:
        for n in range(5):
            sale.reserve(f"user-{n}")
            line.log_relay().turn()
        wait_until(lambda: recorder._store.is_down, 60)
    finally:
        postgres.start()
        postgres.wait_until_ready()
    wait_until(lambda: recorder.done == 6, 60)
    assert len(statuses(sale)) == 6
    assert line.dead_letters() == []


@pytest.mark.parametrize("order", [reversed, sorted], ids=["reversed", "sorted"])
def test_replaying_the_whole_log_in_any_order_changes_nothing(
    sale: Sale, line: Line, order: Callable[..., Any]
) -> None:
    booking_ids = [sale.reserve(f"user-{n}").booking.booking_id for n in range(4)]
    sale.shop.release("user-0", booking_ids[0])
    sale.clock.advance(HOLD_SECONDS)
    sale.shop.expire(shard_of(sale))
    entries = sale.shop.outbox.read(shard_of(sale), 100)
    line.log_relay().turn()
    recorder = line.recorder()
    line.run("recorder", recorder.run)
    wait_until(lambda: recorder.done == 1)
    before = statuses(sale), [sale.history(booking_id) for booking_id in booking_ids]
    again = list(order(entries)) if order is reversed else sorted(entries, key=lambda entry: entry["booking_id"])
    for entry in again:
        send(line, encode_log(line.topics.reservation_log, shard_of(sale), [entry]))
    wait_until(lambda: recorder.done == 1 + len(again))
    assert (statuses(sale), [sale.history(booking_id) for booking_id in booking_ids]) == before
