"""The write-behind functions on a real Postgres: only forward transitions; repeats and late arrivals change nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from app.domain.ids import shard_of_event
from app.stores.recorder import row
from tests.support.seats import HOLD_SECONDS, Sale

OpenEvent = Callable[..., Sale]


def _shard(sale: Sale) -> int:
    return shard_of_event(sale.event_id, len(sale.shop.shards))


def _entries(sale: Sale) -> list[dict[str, Any]]:
    """Takes this event's entries out of the outbox."""
    batch = sale.shop.outbox.read(_shard(sale), 500)
    sale.shop.outbox.acknowledge({_shard(sale): batch[-1]["seq"]})
    return [dict(entry) for entry in batch]


def _state(sale: Sale) -> list[Any]:
    """Every table's rows of this event, without what a repetition may change: recording times, surrogate ids."""
    tables = (
        "SELECT booking_id, status, version, epoch, quantity, deadline, ended_at, cause, idempotency_key, void_pin, "
        "key_fingerprint, promised FROM booking.bookings WHERE event_id = %s ORDER BY booking_id",
        "SELECT booking_id, h.epoch, h.version, h.status, at, h.cause FROM booking.booking_history AS h "
        "JOIN booking.bookings USING (booking_id) WHERE event_id = %s ORDER BY 1, 2, 3",
        "SELECT k.* FROM booking.events AS e, booking.kept_keys(e.shard) AS k "
        "WHERE e.event_id = %s AND k.event_id = e.event_id ORDER BY k.user_id, k.key",
        "SELECT ce_id, type, data FROM booking.outbox WHERE data -> 'booking' ->> 'event_id' = %s ORDER BY ce_id",
    )
    return [sale.rows(query, sale.event_id) for query in tables]


def test_what_redis_promised_is_written_down(sale: Sale) -> None:
    held = sale.reserve(quantity=2, idempotency_key="k").booking
    sale.record()
    recorded = sale.shop.ledger.get_booking(held.booking_id)
    assert recorded is not None
    assert (recorded.status, recorded.quantity, recorded.deadline_ms) == ("reserved", 2, held.deadline_ms)
    assert sale.history(held.booking_id) == [(1, "reserved", "reserve")]
    assert sale.keys() == [("k", held.booking_id)]


@pytest.mark.parametrize("order", ["repeated", "reversed", "one by one, reversed, twice"])
def test_any_order_and_any_repetition_of_the_log_ends_in_the_same_tables(open_event: OpenEvent, order: str) -> None:
    sale = open_event()
    bookings = [sale.reserve(f"user-{n}", idempotency_key=f"k{n}").booking.booking_id for n in range(4)]
    sale.shop.release("user-0", bookings[0])
    sale.clock.advance(HOLD_SECONDS - 1)
    sale.reserve("late")
    sale.clock.advance(1)
    sale.shop.expire(_shard(sale))
    entries = _entries(sale)
    sale.shop.recorder.record(entries)
    once = _state(sale)
    sale.rows("SELECT booking.acknowledge_outbox(array_agg(outbox_id)) FROM booking.outbox")
    for table in ("booking_history", "idempotency_keys", "bookings"):
        _delete(sale, table)

    if order == "repeated":
        for _ in range(3):
            sale.shop.recorder.record(entries)
    elif order == "reversed":
        sale.shop.recorder.record(entries[::-1])
    else:
        for entry in [*entries[::-1], *entries[::-1]]:
            sale.shop.recorder.record([entry])
    assert _state(sale) == once


def test_entries_are_read_alike_by_name_and_by_position(sale: Sale) -> None:
    booking_id = sale.reserve(idempotency_key="k").booking.booking_id
    sale.shop.extend("ann", booking_id, "later")
    sale.shop.release("ann", booking_id)
    entries = _entries(sale)
    ((by_name, by_position),) = sale.rows(
        "SELECT array_to_json(booking.entries_of(%s)), array_to_json(booking.entries_of(%s))",
        Jsonb(entries),
        Jsonb([row(entry) for entry in entries]),
    )
    assert by_position == by_name
    assert {entry["verb_key"] for entry in by_position} == {None, "later"}


def _delete(sale: Sale, table: str) -> None:
    where = f"booking_id IN (SELECT booking_id FROM booking.bookings WHERE event_id = '{sale.event_id}')"
    with sale.shop.postgres.session(5) as connection:
        connection.execute(f"RESET ROLE; DELETE FROM booking.{table} WHERE {where}".encode())


def test_a_late_ending_never_moves_a_confirmed_booking_back(sale: Sale) -> None:
    booking_id = sale.reserve().booking.booking_id
    (created,) = _entries(sale)
    sale.shop.confirm("ann", booking_id, None)
    sale.shop.recorder.record([{**created, "kind": "expired", "version": "2"}, created])
    recorded = sale.shop.ledger.get_booking(booking_id)
    assert recorded is not None
    assert recorded.status == "confirmed"
    assert sale.history(booking_id) == [(1, "reserved", "reserve"), (2, "confirmed", "confirm")]


def test_an_ending_is_told_once_however_often_it_is_recorded(sale: Sale) -> None:
    booking_id = sale.reserve().booking.booking_id
    sale.shop.release("ann", booking_id)
    entries = _entries(sale)
    for _ in range(3):
        sale.shop.recorder.record(entries)
    told = sale.rows("SELECT type FROM booking.outbox WHERE key = %s", booking_id)
    assert told == [("booking.released",)]


def test_an_entry_of_a_dead_epoch_is_recorded_as_ended_and_owns_no_key(sale: Sale) -> None:
    booking_id = sale.reserve(idempotency_key="k").booking.booking_id
    (created,) = _entries(sale)
    old = {**created, "seq": "1-7"}
    sale.shop.recorder.record([old])
    recorded = sale.shop.ledger.get_booking(booking_id)
    assert recorded is not None
    assert (recorded.status, recorded.cause) == ("expired", "rebuild")
    assert sale.keys() == []
    assert sale.rows("SELECT type FROM booking.outbox WHERE key = %s", booking_id) == [("booking.expired",)]
    sale.shop.recorder.record([old])
    assert sale.history(booking_id) == [(1, "reserved", "reserve"), (2, "expired", "rebuild")]


@pytest.mark.parametrize("first_told", [0, 1])
def test_of_two_bookings_under_one_key_the_later_owns_it_whichever_is_told_first(sale: Sale, first_told: int) -> None:
    sale.reserve(idempotency_key="k")
    (entry,) = _entries(sale)
    later = sale.reserve("bob").booking.booking_id
    (other,) = _entries(sale)
    hour_ms = 3600 * 1000
    earlier_entry = {**entry, "reserved_at_ms": str(int(entry["reserved_at_ms"]) - hour_ms)}
    later_entry = {**entry, "booking_id": later, "seq": other["seq"]}
    told = [earlier_entry, later_entry]
    for one in (told[first_told], told[1 - first_told]):
        sale.shop.recorder.record([one])
        assert len(sale.keys()) == 1
    assert sale.keys() == [("k", later)]


def test_a_key_older_than_a_day_is_nobodys(sale: Sale) -> None:
    booking_id = sale.reserve(idempotency_key="k").booking.booking_id
    (entry,) = _entries(sale)
    old = str(int(entry["reserved_at_ms"]) - 48 * 3600 * 1000)  # the clock of the tests is ahead of that of Postgres
    sale.shop.recorder.record([{**entry, "reserved_at_ms": old}])
    assert sale.keys() == []
    assert sale.history(booking_id) == [(1, "reserved", "reserve")]


def test_the_highest_seq_of_a_shard_is_remembered(sale: Sale) -> None:
    sale.reserve()
    sale.reserve()
    entries = _entries(sale)
    sale.shop.recorder.record(entries[::-1])
    ((epoch, seq),) = sale.rows("SELECT epoch, highest_seq FROM booking.shards WHERE shard = %s", _shard(sale))
    assert entries[-1]["seq"] == f"{epoch}-{seq}"


def test_a_row_that_commits_late_is_not_passed_by(sale: Sale) -> None:
    """The first of two transactions takes the lower number and commits last."""
    tell = (
        "RESET ROLE; INSERT INTO booking.outbox (ce_id, type, key, shard, data) "
        "VALUES ('{}', 'booking.released', 'k', 0, '{{}}')"
    )
    with sale.shop.postgres.session(5) as slow, slow.transaction():
        slow.execute(tell.format("slow").encode())
        with sale.shop.postgres.session(5) as quick:
            quick.execute(tell.format("quick").encode())
        rows = sale.shop.ledger_outbox.read(1000)
        assert rows[-1].event_id == "quick"
        sale.shop.ledger_outbox.acknowledge([row.id for row in rows])
    assert [row.event_id for row in sale.shop.ledger_outbox.read(1000)] == ["slow"]
    sale.shop.ledger_outbox.acknowledge([row.id for row in sale.shop.ledger_outbox.read(1000)])
