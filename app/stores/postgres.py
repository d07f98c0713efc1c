"""Calls functions in Postgres: a bounded pool in autocommit, one call one transaction. Translates driver errors."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final, LiteralString

import orjson
import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_loads
from psycopg_pool import ConnectionPool

from app.domain.errors import BY_CONSTRAINT, BY_SQLSTATE, Refusal, refusal
from app.stores.breaker import Breaker

# SQLSTATEs by which a server says "not now": connection lost, out of resources, canceled, shutting down, lost a
# deadlock, waited too long for a lock, read-only standby.
_NOT_NOW = ("08", "53", "57", "58", "40", "55P03", "25006")
# A host that has gone silent is given up after some ten seconds, not after the kernel's two hours.
_CONNECTION: Final[dict[str, Any]] = {
    "autocommit": True,
    "connect_timeout": 2,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# The server as well gives up a client whose host has gone silent, or that hangs in a transaction: what it has locked is
# free then.
_OF_THE_SESSION: Final = sql.SQL(
    "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; "
    "SET tcp_user_timeout = '10s'; SET idle_in_transaction_session_timeout = '10s'"
)
# A quarter of the time that the standard library takes, for each booking that is read.
set_json_loads(orjson.loads)
# The pool reports each failed attempt to connect; what it means for a call reaches its caller as a refusal.
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
ROLE = "holdfast_app"
"""May execute functions and read; whoever DATABASE_URL logs in as takes this role."""


class Postgres:
    """One database. Safe for threads and greenlets. Open it after fork.

    `wait_s` bounds the wait for a connection, `timeout_s` a call, both in seconds: the server ends the statement by
    itself, and `time_limit`, which raises `TimeoutError` after so many seconds, ends the wait for a server that does
    not answer at all."""

    def __init__(
        self,
        url: str,
        pool_size: int,
        timeout_s: float,
        wait_s: float,
        breaker: Breaker,
        time_limit: Callable[[float], AbstractContextManager[Any]] = lambda seconds: nullcontext(),
    ) -> None:
        self._url = url
        self.timeout_s = timeout_s
        self._breaker = breaker
        self._time_limit = time_limit
        self._pool: ConnectionPool[psycopg.Connection[TupleRow]] = ConnectionPool(
            url,
            min_size=1,
            max_size=pool_size,
            open=False,
            timeout=wait_s,
            kwargs=_CONNECTION,
            configure=lambda connection: _configure(connection, timeout_s),
            reconnect_timeout=0,  # a database that is away for long is asked again by the next call
        )

    def open(self) -> None:
        """Opens the pool; does not wait for a connection."""
        self._pool.open(wait=False)

    def close(self) -> None:
        """Closes every connection."""
        self._pool.close()

    def rows(self, query: LiteralString, parameters: Sequence[Any] = ()) -> list[TupleRow]:
        """Runs one statement and answers its rows.

        Raises the refusal that the database means; `SERVICE_UNAVAILABLE` when it cannot be asked, or does not answer
        (the statement may have been carried out); psycopg's own error for what is a bug or bad data."""
        with (
            translated(),
            self._breaker.watching(_is_silence),
            self._time_limit(self.timeout_s),
            self._pool.connection() as connection,
        ):
            return connection.execute(query, parameters).fetchall()

    @contextmanager
    def session(self, timeout_s: float) -> Iterator[psycopg.Connection[TupleRow]]:
        """A connection of its own, for what belongs to a session or takes long. `timeout_s` bounds each statement."""
        with translated(), psycopg.connect(self._url, **_CONNECTION) as connection:
            _configure(connection, timeout_s)
            yield connection


def _configure(connection: psycopg.Connection[TupleRow], timeout_s: float) -> None:
    connection.execute(
        sql.SQL("{}; SET ROLE {}; SET statement_timeout = {}").format(
            _OF_THE_SESSION, sql.Identifier(ROLE), sql.Literal(int(timeout_s * 1000))
        )
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turns errors of the driver into refusals, by SQLSTATE and by constraint. What is left is a bug, or bad data."""
    try:
        yield
    except psycopg.Error as error:
        if known := _refusal(error):
            raise known from error
        raise
    except TimeoutError as error:
        raise refusal("SERVICE_UNAVAILABLE", "Postgres does not answer in time") from error


def _is_silence(error: Exception) -> bool:
    """Whether no answer came: neither from a server nor, in time, a connection to one."""
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return not error.sqlstate
    return isinstance(error, TimeoutError)


def _refusal(error: psycopg.Error) -> Refusal | None:
    state = error.sqlstate or ""
    kind = BY_SQLSTATE.get(state) or BY_CONSTRAINT.get(error.diag.constraint_name or "")
    if kind:
        return refusal(kind.code, error.diag.message_detail)
    if _is_silence(error) or state.startswith(_NOT_NOW):
        return refusal("SERVICE_UNAVAILABLE", f"Postgres cannot answer now ({type(error).__name__})")
    return None
