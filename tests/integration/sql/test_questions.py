"""sql/reconcile, as an operator asks with psql: each finds what it is for, and nothing where all is well."""

import subprocess
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from dev.process import ROOT
from tests.support.invariants import QUESTIONS
from tests.support.seats import Sale

_CONFIRMED = "WHERE event_id = %(event)s AND status = 'confirmed'"


@pytest.fixture
def owner(database: str) -> Iterator[psycopg.Connection[Any]]:
    """Who may do to the tables what no function does."""
    with psycopg.connect(database) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def healthy(sale: Sale) -> Sale:
    """Each state once, and all of it recorded and told."""
    for user, verb in (
        ("ann", sale.shop.release),
        ("bob", None),
        ("cid", sale.shop.confirm),
        ("dan", sale.shop.confirm),
    ):
        booking_id = sale.reserve(user, idempotency_key="k").booking.booking_id
        if verb:
            verb(user, booking_id, *([None] if verb is sale.shop.confirm else []))
        if user == "dan":
            sale.shop.cancel(user, booking_id, None)
    sale.record()
    while rows := sale.shop.ledger_outbox.read(500):
        sale.shop.ledger_outbox.acknowledge([row.id for row in rows])
    for _ in range(2):
        assert sale.shop.photograph() > 0
    return sale


def _ask(connection: psycopg.Connection[Any], question: str) -> list[tuple[Any, ...]]:
    connection.execute("SET LOCAL ROLE holdfast_reader")
    text = (ROOT / "sql" / "reconcile" / f"{question}.sql").read_text()
    answers = connection.execute(text.encode()).fetchall()
    connection.execute("RESET ROLE")
    return answers


@pytest.mark.parametrize("question", QUESTIONS)
def test_where_all_is_well_a_question_prints_nothing(
    healthy: Sale, owner: psycopg.Connection[Any], question: str
) -> None:
    assert _ask(owner, question) == []


DAMAGE = {
    "orphaned_reservations": "UPDATE booking.bookings SET deadline = now() - interval '3 minutes' "
    "WHERE event_id = %(event)s AND status = 'reserved'",
    "oversold_zones": "UPDATE booking.zones SET confirmed_seats = 2 WHERE event_id = %(event)s",
    "negative_inventory": "UPDATE booking.redis_snapshots SET held = -1 WHERE event_id = %(event)s",
    "duplicate_bookings": "UPDATE booking.bookings SET user_id = 'ann' WHERE event_id = %(event)s AND user_id = 'bob'",
    "stuck_outbox": "INSERT INTO booking.outbox (ce_id, type, key, shard, data, created_at) "
    "VALUES (%(event)s, 'zone.opened', 'k', 0, '{}', now() - interval '2 minutes')",
    "stuck_payments": "INSERT INTO booking.payments "
    "(booking_id, payment_id, amount_minor, currency, epoch, pin, created_at) "
    f"SELECT booking_id, 'p', 1, 'THB', 1, 1, now() - interval '3 minutes' FROM booking.bookings {_CONFIRMED}",
    "illegal_history": "UPDATE booking.booking_history SET status = 'released' "
    f"WHERE status = 'confirmed' AND booking_id IN (SELECT booking_id FROM booking.bookings {_CONFIRMED})",
    "drift": "UPDATE booking.redis_snapshots SET confirmed = confirmed + 1 WHERE event_id = %(event)s",
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_finds_what_it_is_for(healthy: Sale, owner: psycopg.Connection[Any], question: str) -> None:
    changed = owner.execute(DAMAGE[question].encode(), {"event": healthy.event_id})
    assert changed.rowcount > 0
    assert len(_ask(owner, question)) == 1


BROKEN_OFF = {
    "orphaned_reservations": "UPDATE booking.bookings SET zone_id = 'none' "
    "WHERE event_id = %(event)s AND user_id = 'cid'",
    "illegal_history": "DELETE FROM booking.bookings WHERE event_id = %(event)s AND user_id = 'cid'",
}


@pytest.mark.parametrize("question", BROKEN_OFF)
def test_a_booking_without_its_zone_is_found_and_a_history_without_its_booking(
    healthy: Sale, owner: psycopg.Connection[Any], question: str
) -> None:
    assert owner.execute(BROKEN_OFF[question].encode(), {"event": healthy.event_id}).rowcount == 1
    assert len(_ask(owner, question)) == 1


def test_psql_asks_them_as_they_are(healthy: Sale, database: str) -> None:
    for question in QUESTIONS:
        path = ROOT / "sql" / "reconcile" / f"{question}.sql"
        asked = subprocess.run(
            ["psql", database, "--no-psqlrc", "--tuples-only", "-f", str(path)],
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert (asked.returncode, asked.stdout.strip(), asked.stderr) == (0, "", "")


def test_a_photograph_holds_both_stores_side_by_side(healthy: Sale) -> None:
    rows = healthy.rows(
        "SELECT capacity, confirmed, held, available, postgres_capacity, postgres_confirmed, postgres_reserved "
        "FROM booking.redis_snapshots WHERE event_id = %s",
        healthy.event_id,
    )
    assert rows == [(10, 1, 1, 8, 10, 1, 1)] * 2
