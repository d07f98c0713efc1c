"""How Postgres finds what a batch is about does not hang on what was true when statistics were taken."""

import json
import time
from typing import Any

import psycopg

from app.domain.ids import new_booking_id, shard_of_event
from tests.support.controls import altered_function, goes_red
from tests.support.seats import Sale

_SCANS = "SELECT pg_stat_get_xact_numscans('booking.bookings_live'::regclass)"
_READ = "SELECT pg_stat_get_xact_tuples_returned('booking.bookings_live'::regclass)"
_AT_MS = 1_780_000_000_000


def _entries(sale: Sale, count: int) -> list[dict[str, Any]]:
    shard = shard_of_event(sale.event_id, len(sale.shop.shards))
    epoch = sale.shop.ledger.epochs()[shard]
    return [
        {
            "booking_id": new_booking_id(shard),
            "event_id": sale.event_id,
            "zone_id": "A",
            "user_id": f"user-{number}",
            "quantity": 1,
            "unit_price_minor": 100,
            "currency": "THB",
            "reserved_at_ms": _AT_MS,
            "deadline_ms": _AT_MS + 1,
            "version": 1,
            "at_ms": _AT_MS,
            "epoch": epoch,
        }
        for number in range(count)
    ]


def _end(owner: psycopg.Connection[Any], entries: list[dict[str, Any]]) -> None:
    owner.execute("SELECT booking.record_reservations(p_entries => %s::jsonb)", [json.dumps(entries)])
    owner.execute("SELECT booking.record_expiries(p_entries => %s::jsonb)", [json.dumps(entries)])


def _looks_through_what_is_live(sale: Sale, database: str) -> int:
    """How often a batch of endings reads the index of what is live, planned when nothing was. Leaves nothing behind."""
    with psycopg.connect(database) as owner:
        owner.execute(
            "UPDATE booking.bookings SET status = 'expired', ended_at = now(), cause = 'test' WHERE status = 'reserved'"
        )
        _end(owner, _entries(sale, 3_000))
        owner.execute("ANALYZE booking.bookings")
        before = owner.execute(_SCANS).fetchone()
        _end(owner, _entries(sale, 20))
        after = owner.execute(_SCANS).fetchone()
        owner.rollback()
    assert before is not None
    assert after is not None
    return int(after[0] - before[0])


def test_an_ending_is_found_by_its_id_even_if_nothing_was_live_when_statistics_were_taken(
    sale: Sale, database: str
) -> None:
    assert _looks_through_what_is_live(sale, database) == 0


def test_control_by_its_status_it_would_be_looked_for_among_all_that_is_live(sale: Sale, database: str) -> None:
    live = "b.status IS NOT DISTINCT FROM 'reserved'"
    with altered_function(database, "record_endings", live, "b.status = 'reserved'"), goes_red("assert"):
        assert _looks_through_what_is_live(sale, database) == 0


def _read_of_what_is_live_for_what_is_stale(sale: Sale, database: str) -> int:
    """Of 3,000 reservations that have an hour yet."""
    shard, deadline_ms = shard_of_event(sale.event_id, len(sale.shop.shards)), int(time.time() + 3_600) * 1000
    entries = [{**entry, "deadline_ms": deadline_ms} for entry in _entries(sale, 3_000)]
    with psycopg.connect(database) as owner:
        owner.execute("SELECT booking.record_reservations(p_entries => %s::jsonb)", [json.dumps(entries)])
        owner.execute("ANALYZE booking.bookings")
        before = owner.execute(_READ).fetchone()
        owner.execute("SELECT * FROM booking.stale_reservations(p_shard => %s::smallint, p_limit => 500)", [shard])
        after = owner.execute(_READ).fetchone()
        owner.rollback()
    assert before is not None
    assert after is not None
    return int(after[0] - before[0])


def test_what_is_stale_is_found_without_a_look_at_what_is_live(sale: Sale, database: str) -> None:
    assert _read_of_what_is_live_for_what_is_stale(sale, database) < 50


def test_control_a_clock_that_moves_passes_the_index_by(sale: Sale, database: str) -> None:
    moves = ("< statement_timestamp()", "< clock_timestamp()")
    with altered_function(database, "stale_reservations", *moves), goes_red("assert"):
        assert _read_of_what_is_live_for_what_is_stale(sale, database) < 50
