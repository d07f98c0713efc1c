"""The schema: up, down, up again; what it looks like is in the review of each change."""

import re
import time
from pathlib import Path

import psycopg
import pytest
from psycopg.types.json import Jsonb

from app.domain.errors import BY_CONSTRAINT
from app.stores import schema
from dev.postgres import Postgres

SNAPSHOT = Path(__file__).with_name("schema.snapshot")


@pytest.fixture
def empty(postgres: Postgres) -> str:
    postgres.drop_database("up_down_up")
    return postgres.create_database("up_down_up")


def _picture(url: str) -> str:
    """Columns, constraints, indexes and functions of schema booking, a line each."""
    queries = (
        """SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type
                  || CASE is_nullable WHEN 'NO' THEN ' NOT NULL' ELSE '' END
                  || coalesce(' DEFAULT ' || column_default, '')
           FROM information_schema.columns WHERE table_schema = 'booking'""",
        """SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
           FROM pg_constraint WHERE connamespace = 'booking'::regnamespace""",
        "SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'booking'",
        """SELECT 'function ' || oid::regprocedure || ' -> ' || pg_get_function_result(oid)
           FROM pg_proc WHERE pronamespace = 'booking'::regnamespace""",
    )
    with psycopg.connect(url) as connection:
        lines = [line for query in queries for (line,) in connection.execute(query.encode()).fetchall()]
    return "\n".join(sorted(lines)) + "\n"


def test_up_down_up_ends_where_it_was(empty: str) -> None:
    schema.migrate(empty)
    first = _picture(empty)
    schema.rollback(empty, steps=len(schema.status(empty)))
    assert not any(applied for _, applied in schema.status(empty))
    schema.migrate(empty)
    assert _picture(empty) == first


def test_the_keys_of_the_last_day_survive_the_way_down_and_up_again(empty: str) -> None:
    schema.migrate(empty)
    booking = "01a21607-404b-8002-afef-710cd76205b5"
    entry = {
        "booking_id": booking, "event_id": "E", "zone_id": "A", "user_id": "ann", "quantity": 1, "version": 1,
        "seq": "1-1", "unit_price_minor": 5, "currency": "THB", "reserved_at_ms": (now := time.time_ns() // 10**6),
        "at_ms": now, "deadline_ms": now + 600_000, "idempotency_key": "k", "fingerprint": "f",
    }  # fmt: skip
    kept = "SELECT key, fingerprint, booking_id::text, answer, since FROM booking.kept_keys(2::smallint)"
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO booking.events (event_id, shard, name, hold_seconds, hold_seconds_max, max_per_user, "
            "max_per_reservation) VALUES ('E', 2, 'E', 600, 600, 9, 9);"
            "INSERT INTO booking.zones (event_id, zone_id, name, capacity, price_minor, currency, currency_digits) "
            "VALUES ('E', 'A', 'A', 9, 5, 'THB', 2)"
        )
        connection.execute("SELECT booking.record_reservations(%s)", [Jsonb([entry])])
        before = connection.execute(kept).fetchall()
        schema.rollback(empty, steps=len(schema.status(empty)) - 11)
        schema.migrate(empty)
        assert connection.execute(kept).fetchall() == before
    assert [row[:3] for row in before] == [("k", "f", booking)]


def test_the_schema_is_the_one_in_the_snapshot(database: str) -> None:
    """After a change that is meant: delete the file, run this test, and let the difference be reviewed."""
    picture = _picture(database)
    if not SNAPSHOT.exists():
        SNAPSHOT.write_text(picture)
    assert picture == SNAPSHOT.read_text()


def test_every_constraint_that_means_a_refusal_is_a_check_of_the_migrated_database(database: str) -> None:
    checks = "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'booking'::regnamespace"
    with psycopg.connect(database) as connection:
        assert BY_CONSTRAINT.keys() <= {name for (name,) in connection.execute(checks).fetchall()}


def test_migrating_again_changes_nothing(database: str) -> None:
    before = _picture(database)
    schema.migrate(database)
    assert _picture(database) == before


def test_a_lock_that_a_killed_deploy_left_behind_does_not_stop_the_next(empty: str) -> None:
    schema.migrate(empty)
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, now(), 1)")
    schema.migrate(empty)


def test_another_number_of_shards_is_refused(database: str) -> None:
    with pytest.raises(schema.SchemaError, match="SHARDS is 32 in the settings, but this installation has 16"):
        schema.migrate(database, shards=32)


def test_a_function_without_a_file_is_dropped(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE FUNCTION booking.stray() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        schema.load_functions(database)
        assert connection.execute("SELECT to_regproc('booking.stray')").fetchone() == (None,)


def test_every_migration_has_its_rollback() -> None:
    migrations = sorted((schema.SQL / "migrations").glob("*.sql"))
    forward = [path for path in migrations if not path.name.endswith(".rollback.sql")]
    assert forward
    for path in forward:
        assert re.fullmatch(r"\d{4}_[a-z_]+", path.stem)
        assert path.with_suffix(".rollback.sql").exists(), f"{path.name} has no rollback"
