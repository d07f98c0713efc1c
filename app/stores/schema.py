"""The schema at a deploy: migrations (tables), then every function file, under one advisory lock."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
from yoyo import get_backend, read_migrations
from yoyo.backends import DatabaseBackend

SQL: Final = Path(__file__).resolve().parents[2] / "sql"


class SchemaError(Exception):
    """The database refused, or could not be reached; the message is its own."""


_SCHEMA_LOCK: Final = "SELECT pg_advisory_lock(3, 0)"
_FUNCTIONS_OF_SCHEMA: Final = """
    SELECT p.proname, p.oid::regprocedure::text
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = 'booking'
"""
_GRANTS: Final = """
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA booking FROM PUBLIC;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA booking TO holdfast_app, holdfast_operator;
    REVOKE ALL ON FUNCTION booking.purge_event FROM holdfast_app;
"""


def migrate(database_url: str, shards: int = 16) -> None:
    """Brings the database to this version: migrations, functions, the number of shards. Safe at any time, from any
    number of deploys at once. Raises `SchemaError`."""
    with _alone(database_url) as connection:
        with _backend(database_url) as backend:
            migrations = read_migrations(str(SQL / "migrations"))
            backend.apply_migrations(backend.to_apply(migrations))
        _load_functions(connection)
        connection.execute("SELECT booking.install_shards(p_count => %s)", [shards])


def rollback(database_url: str, steps: int = 1) -> None:
    """Takes the last `steps` migrations back, with their data. Raises `SchemaError`."""
    with _alone(database_url), _backend(database_url) as backend:
        migrations = backend.to_rollback(read_migrations(str(SQL / "migrations")))
        backend.rollback_migrations(migrations[:steps])


def status(database_url: str) -> list[tuple[str, bool]]:
    """Each migration and whether it is applied. Raises `SchemaError`."""
    with _translated(), _backend(database_url) as backend:
        migrations = read_migrations(str(SQL / "migrations"))
        waiting = {migration.id for migration in backend.to_apply(migrations)}
        return [(migration.id, migration.id not in waiting) for migration in migrations]


def load_functions(database_url: str) -> int:
    """Replaces all functions in one transaction; answers how many there are. Raises `SchemaError`."""
    with _alone(database_url) as connection:
        return _load_functions(connection)


def function_files() -> dict[str, str]:
    """Each function's name and the text of its file."""
    return {path.stem: path.read_text() for path in sorted((SQL / "functions").glob("*.sql"))}


def _load_functions(connection: psycopg.Connection[Any]) -> int:
    """No function without a file, and no overload: what no file defines is dropped."""
    files = function_files()
    with connection.transaction():
        # A function may call another that a later file defines: bodies are checked by the tests instead.
        connection.execute("SET LOCAL check_function_bodies = off")
        for text in files.values():
            connection.execute(text.encode())
        for name, signature in connection.execute(_FUNCTIONS_OF_SCHEMA).fetchall():
            if name not in files:
                connection.execute(f"DROP FUNCTION {signature}".encode())
        connection.execute(_GRANTS)
    return len(files)


@contextmanager
def _alone(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """One deploy at a time, by a lock that falls with its connection."""
    with _translated(), psycopg.connect(database_url, autocommit=True, connect_timeout=5) as connection:
        connection.execute(_SCHEMA_LOCK)
        yield connection


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise SchemaError(error.diag.message_primary or str(error)) from error


@contextmanager
def _backend(database_url: str) -> Iterator[DatabaseBackend]:
    # yoyo picks psycopg 3 by its own scheme.
    backend = get_backend(re.sub(r"^postgres(ql)?(\+psycopg)?://", "postgresql+psycopg://", database_url))
    try:
        # yoyo's lock is a row, which survives a killed deploy. We hold a better one: whatever row is there is stale.
        backend.break_lock()
        yield backend
    finally:
        backend.connection.close()
