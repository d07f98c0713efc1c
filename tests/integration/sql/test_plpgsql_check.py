"""plpgsql_check reads every function of schema `booking` against the real tables."""

from collections.abc import Iterator

import psycopg
import pytest

# What it warns about without there being a mistake; each with its reason.
ACCEPTED: dict[tuple[str, str], str] = {}

CHECK = """
    SELECT p.proname, c.lineno, c.sqlstate, c.level, c.message, c.query
    FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_language l ON l.oid = p.prolang
    LEFT JOIN pg_trigger t ON t.tgfoid = p.oid
    CROSS JOIN LATERAL plpgsql_check_function_tb(
        p.oid, coalesce(t.tgrelid, 0)::regclass,
        fatal_errors => false, extra_warnings => true, performance_warnings => false, security_warnings => true
    ) c
    WHERE n.nspname = 'booking' AND l.lanname = 'plpgsql'
    ORDER BY p.proname, c.lineno
"""


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    """Its changes are rolled back: the extension is a tool of the checks, not a part of the schema."""
    with psycopg.connect(database) as connection:
        connection.execute("CREATE EXTENSION plpgsql_check")
        yield connection
        connection.rollback()


def findings(connection: psycopg.Connection) -> list[str]:
    return [
        f"{name}:{line} {level} {state}: {message}" + (f" in {query}" if query else "")
        for name, line, state, level, message, query in connection.execute(CHECK)
        if (name, message) not in ACCEPTED
    ]


def test_no_function_has_a_finding(connection: psycopg.Connection) -> None:
    found = findings(connection)
    assert not found, "\n".join(found)


def test_control_a_wrong_column_is_found(connection: psycopg.Connection) -> None:
    connection.execute("""
        CREATE FUNCTION booking.wrong() RETURNS void LANGUAGE plpgsql AS $$
        BEGIN PERFORM no_such_column FROM booking.zones; END $$
    """)
    assert any("no_such_column" in finding for finding in findings(connection))


def test_control_there_are_functions_to_check(connection: psycopg.Connection) -> None:
    row = connection.execute("""
        SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'booking'
    """).fetchone()
    assert row is not None
    assert row[0] > 5
