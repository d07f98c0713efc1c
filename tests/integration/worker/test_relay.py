import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import psycopg
import pytest

from app.domain.ids import shard_of_event
from app.stores.ledger import PostgresLedger
from tests.integration.worker.conftest import Line, wait_until
from tests.support.controls import goes_red
from tests.support.seats import Sale


class Killed(Exception):
    """Stands for the end of the process at this line."""


class DiesBeforeAcknowledging:
    """The outbox of a relay that is killed after Kafka has the batch and before it is marked."""

    def __init__(self, outbox: Any) -> None:
        self._outbox = outbox

    def __getattr__(self, reading: str) -> Any:
        return getattr(self._outbox, reading)

    def acknowledge(self, *arguments: Any) -> None:
        raise Killed


class Uncommitted:
    """Postgres for a call whose transaction somebody else ends."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def rows(self, query: Any, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, parameters).fetchall()


class RemembersTheHighest:
    """The control: an outbox that is read with a cursor, which passes by what commits late."""

    def __init__(self, outbox: Any) -> None:
        self._outbox = outbox
        self._highest = 0

    def __getattr__(self, acknowledging: str) -> Any:
        return getattr(self._outbox, acknowledging)

    def read(self, limit: int) -> list[Any]:
        rows = [row for row in self._outbox.read(limit) if row.id > self._highest]
        self._highest = max((row.id for row in rows), default=self._highest)
        return rows


def reserve(sale: Sale, count: int) -> list[str]:
    return [sale.reserve(f"user-{n}").booking.booking_id for n in range(count)]


def seqs(sale: Sale) -> list[str]:
    shard = shard_of_event(sale.event_id, len(sale.shop.shards))
    return [entry["seq"] for entry in sale.shop.outbox.read(shard, 1000)]


def shard_of(sale: Sale) -> int:
    return shard_of_event(sale.event_id, len(sale.shop.shards))


def tables(sale: Sale) -> dict[str, Any]:
    return {
        "bookings": sale.rows("SELECT b.* FROM booking.bookings AS b WHERE event_id = %s ORDER BY 1", sale.event_id),
        "history": sale.rows(
            "SELECT h.booking_id, h.epoch, h.version, h.status, h.at, h.cause FROM booking.booking_history AS h "
            "JOIN booking.bookings AS b USING (booking_id) WHERE b.event_id = %s ORDER BY 1, 2, 3",
            sale.event_id,
        ),
        "outbox": sale.rows("SELECT ce_id FROM booking.outbox ORDER BY 1"),
    }


def test_the_outbox_reaches_the_log_in_order_and_is_forgotten_only_then(sale: Sale, line: Line) -> None:
    reserve(sale, 10)
    before = seqs(sale)
    assert len(before) == 10
    assert line.log_relay().turn() == 10
    assert line.entries(shard_of(sale), 10) == before
    assert seqs(sale) == []


def test_a_relay_killed_before_it_could_mark_leaves_duplicates_and_the_same_tables(sale: Sale, line: Line) -> None:
    first, *_ = reserve(sale, 5)
    sale.shop.release("user-0", first)
    before = seqs(sale)
    with pytest.raises(Killed):
        line.log_relay(DiesBeforeAcknowledging(sale.shop.outbox)).turn()
    assert seqs(sale) == before
    recorder = line.recorder()
    line.run("recorder", recorder.run)
    wait_until(lambda: recorder.done == 1)
    once = tables(sale)
    assert (len(once["bookings"]), len(once["history"])) == (5, 6)

    line.log_relay().turn()
    wait_until(lambda: recorder.done == 2)
    assert line.entries(shard_of(sale), 12) == before * 2
    assert tables(sale) == once


def test_two_relays_at_once_lose_nothing_and_reorder_nothing_that_is_new(sale: Sale, line: Line) -> None:
    relays = [line.log_relay(), line.log_relay()]
    for number, relay in enumerate(relays):
        line.run(f"relay-{number}", relay.run)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: reserve_and_release(sale, f"user-{n}"), range(60)))
    wait_until(lambda: seqs(sale) == [])
    numbers = [int(seq.split("-")[1]) for seq in line.entries(shard_of(sale), 120, distinct=True)]
    assert numbers == list(range(numbers[0], numbers[0] + 120))


def reserve_and_release(sale: Sale, user: str) -> None:
    sale.shop.release(user, sale.reserve(user).booking.booking_id)


def test_a_confirmed_booking_is_told_as_a_cloud_event_keyed_by_the_booking(sale: Sale, line: Line) -> None:
    (booking_id,) = reserve(sale, 1)
    sale.shop.confirm("user-0", booking_id, None)
    line.row_relay().turn()
    (record,) = [r for r in line.read(line.topics.booking_events, 1) if r.key == booking_id.encode()]
    headers = {name: value.decode() for name, value in record.headers}
    assert headers["ce_type"] == "booking.confirmed"
    assert headers["ce_specversion"] == "1.0"
    assert headers["ce_subject"] == booking_id
    assert headers["content-type"] == "application/json"
    assert json.loads(record.value)["booking"]["booking_id"] == booking_id
    assert sale.shop.ledger_outbox.read(10) == []


def test_a_killed_row_relay_repeats_its_events_under_the_same_ids(sale: Sale, line: Line) -> None:
    booking_ids = reserve(sale, 3)
    for n, booking_id in enumerate(booking_ids):
        sale.shop.confirm(f"user-{n}", booking_id, None)
    with pytest.raises(Killed):
        line.row_relay(DiesBeforeAcknowledging(sale.shop.ledger_outbox)).turn()
    line.row_relay().turn()
    records = line.read(line.topics.booking_events, 6)
    assert ids_by_booking(records) == {b: [f"{b}:confirmed"] * 2 for b in booking_ids}


def ids_by_booking(records: Sequence[Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for record in records:
        found.setdefault(record.key.decode(), []).append(dict(record.headers)["ce_id"].decode())
    return found


def test_what_commits_after_a_later_row_was_told_is_still_told(
    open_event: Callable[..., Sale], line: Line, database: str
) -> None:
    confirms_late(open_event, line, database, line.shop.ledger_outbox)


def test_a_reader_that_remembers_the_highest_id_passes_it_by(
    open_event: Callable[..., Sale], line: Line, database: str
) -> None:
    with goes_red("the confirmation that was committed late was never told"):
        confirms_late(open_event, line, database, RemembersTheHighest(line.shop.ledger_outbox))


def confirms_late(open_event: Callable[..., Sale], line: Line, database: str, outbox: Any) -> None:
    """Two confirmations: the first takes the earlier id, and is committed once the second has been told."""
    slow, quick = open_event(), open_event()
    (first,), (second,) = reserve(slow, 1), reserve(quick, 1)
    relay = line.row_relay(outbox)
    told = relay.turn()  # of the zones that were opened
    with psycopg.connect(database) as connection:
        ledger = PostgresLedger(cast(Any, Uncommitted(connection)), len(line.shop.shards))
        ledger.confirm_bookings([slow.shop.reservations.confirm(first, "user-0", None)])
        quick.shop.confirm("user-0", second, None)
        (later,) = line.shop.ledger_outbox.read(10)
        told += relay.turn()
    (earlier,) = line.shop.ledger_outbox.read(10)
    assert (earlier.key, later.key) == (first, second)
    assert earlier.id < later.id, "the later row was visible first"
    told += relay.turn()
    ids = ids_by_booking(line.read(line.topics.booking_events, told))
    assert ids[second] == [f"{second}:confirmed"]
    assert first in ids, "the confirmation that was committed late was never told"


def test_a_relay_told_to_stop_ends_at_once(line: Line) -> None:
    relay = line.log_relay()
    line.run("relay", relay.run)
    threading.Event().wait(0.3)
    line.stop.set()
    assert line.threads.join(2) == []
