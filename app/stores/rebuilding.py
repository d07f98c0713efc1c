"""Both stores as the rebuild sees them (rule 3.7)."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from itertools import groupby
from operator import itemgetter
from typing import Final

import psycopg
from psycopg.rows import TupleRow
from redis.exceptions import ResponseError

from app.domain.errors import refusal
from app.domain.model import Chunk, Image
from app.domain.ports import Entry
from app.stores import keys
from app.stores.lua import Redis
from app.stores.outboxes import RedisOutbox
from app.stores.postgres import Postgres, translated

log = logging.getLogger(__name__)
_ROWS: Final = 100
"""Rows of the image at a time: the script keeps Redis busy for a millisecond or two."""
_ENTRIES: Final = 500
"""Entries of the outbox at a time: one call of the recorder."""
_DUTY: Final = 4
"""Of the classes of advisory locks: 1 is of a shard's writers, 2 of its rebuild, 3 of the schema."""


class RedisRebuilding:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._outbox = RedisOutbox(redis)

    def is_open(self, shard: int, epoch: int) -> bool:
        """Whether the shard sells at `epoch`, on this server, now. Raises `SERVICE_UNAVAILABLE`."""
        return not self.closed({shard: epoch})

    def closed(self, epochs: Mapping[int, int]) -> list[int]:
        """The shards that do not sell at these epochs, all asked at once. Raises `SERVICE_UNAVAILABLE`.

        Asked once more over a new connection: nobody rebuilds a server that lives on after it has been replaced."""
        if closed := self._closed(epochs):
            self._redis.renew()
            closed = self._closed({shard: epochs[shard] for shard in closed})
        return closed

    def _closed(self, epochs: Mapping[int, int]) -> list[int]:
        run_id = self._redis.run_id()
        replies = self._redis.pipeline([["MGET", keys.epoch(shard), keys.freeze(shard)] for shard in epochs])
        return [
            shard
            for (shard, epoch), (installed, frozen) in zip(epochs.items(), replies, strict=True)
            if installed != keys.head(epoch, run_id) or frozen is not None
        ]

    def freeze(self, shard: int, token: str) -> str:
        """Stops the shard; answers the run_id of the server that is to be filled."""
        seen: list[str] = []

        def arguments(run_id: str) -> list[str]:
            seen.append(run_id)
            return [token]

        self._redis.run("freeze", keys.epoch(shard), arguments)
        return seen[-1]

    def survivors(self, shard: int) -> Iterator[Sequence[Entry]]:
        """What the shard's outbox still holds, in order. It stays there: the relay publishes it later, as repeats. What
        is no stream holds nothing: somebody has put it there, and nobody can write to it."""
        try:
            yield from self._outbox.batches(shard, _ENTRIES)
        except ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            log.exception("shard %d: its outbox is none: removed", shard)
            self._redis.command("DEL", keys.outbox(shard))

    def highest_epoch(self, shard: int) -> int:
        """The highest that this server has had of the shard, as far as it knows; 0 where it knows of none."""
        _, epoch = self._redis.run("highest_epoch", keys.epoch(shard), lambda run_id: [])
        return int(epoch)

    def install(self, shard: int, token: str, run_id: str, epoch: int, chunk: Chunk) -> None:
        """A part of the name space of `epoch`. Raises `SERVICE_UNAVAILABLE`, also if the server was not frozen."""
        rows = f"[{','.join(chunk.rows)}]"
        self._last_steps("install", shard, run_id, token, str(epoch), chunk.kind, rows)

    def flip(self, shard: int, token: str, run_id: str, epoch: int) -> None:
        """Opens the shard at `epoch`. Raises `SERVICE_UNAVAILABLE`, also when the server is not the one frozen."""
        self._last_steps("flip", shard, run_id, token, keys.head(epoch, run_id))

    def sweep_old_spaces(self, epochs: Mapping[int, int]) -> int:
        """Removes the keys of epochs before `epochs`; answers how many. Raises `SERVICE_UNAVAILABLE`."""
        removed, cursor = 0, b"0"
        while True:
            scan = ("SCAN", cursor, "MATCH", keys.SPACES, "COUNT", 1000)
            ((cursor, found),) = self._redis.pipeline([scan], raw=True)
            old = [key for key in found if _is_old(key, epochs)]
            removed += sum(self._redis.pipeline([["UNLINK", key] for key in old])) if old else 0
            if cursor == b"0":
                return removed

    def _last_steps(self, name: str, shard: int, run_id: str, *arguments: str) -> None:
        def on_the_same_server(actual: str) -> Sequence[str]:
            if actual != run_id:
                raise refusal("SERVICE_UNAVAILABLE", "Redis was restarted during the rebuild")
            return arguments

        if self._redis.run(name, keys.epoch(shard), on_the_same_server) != ["OK"]:
            raise refusal("SERVICE_UNAVAILABLE", "Another rebuild has taken over")


def _is_old(key: bytes, epochs: Mapping[int, int]) -> bool:
    shard, epoch = keys.shard_and_epoch_of(key)
    return epoch < epochs.get(shard, 0)


class PostgresRebuilding:
    """`timeout_s` bounds the image, seconds. Who has a shard's lock and is silent for `silence_s`, loses it."""

    def __init__(self, postgres: Postgres, timeout_s: float = 60, silence_s: float = 30) -> None:
        self._postgres = postgres
        self._timeout_s = timeout_s
        self._silence_s = silence_s
        self._locked: dict[int, psycopg.Connection[TupleRow]] = {}
        """By shard, where we have its lock."""

    @contextmanager
    def rebuild_lock(self, shard: int) -> Iterator[bool]:
        """The shard's session lock, from before freeze until after install; False if another has it. It falls with its
        connection, however the process ends, and where the process lives on but hangs (a SIGSTOP, a machine that is
        moved), Postgres ends that. Raises `SERVICE_UNAVAILABLE`."""
        with self._postgres.session(self._timeout_s) as connection:
            connection.execute("SELECT set_config('idle_session_timeout', %s, false)", [f"{self._silence_s:g}s"])
            row = connection.execute("SELECT pg_try_advisory_lock(2, %s)", [shard]).fetchone()
            if not (row and row[0]):
                yield False
                return
            self._locked[shard] = connection
            try:
                yield True
            finally:
                del self._locked[shard]

    def keep_lock(self, shard: int) -> None:
        """Says that we live. Raises `SERVICE_UNAVAILABLE`: we have said so too late, and the lock is lost."""
        with self._session_of(shard) as connection, translated():
            connection.execute("SELECT 1")

    def worker_lives(self) -> bool:
        """Whether somebody is on duty (`PostgresDuty`). Raises `SERVICE_UNAVAILABLE`."""
        ((nobody,),) = self._postgres.rows("SELECT pg_try_advisory_xact_lock(%s, 0)", [_DUTY])
        return not nobody

    def check_purge(self, event_ids: Sequence[str]) -> None:
        """Raises `FORBIDDEN` for what is no sandbox, or where we are no operator; `SERVICE_UNAVAILABLE`."""
        with self._postgres.session(self._timeout_s) as connection:
            _as_operator(connection)
            real = connection.execute(
                "SELECT e FROM unnest(%s::text[]) AS e WHERE NOT booking.is_sandbox(e) LIMIT 1", [list(event_ids)]
            ).fetchone()
        if real:
            raise refusal("FORBIDDEN", f"{real[0]} is no sandbox event")

    def shard_image(self, shard: int, purge: Sequence[str] = (), past: int = 0) -> Image:
        """Raises the epoch, beyond `past`; answers what Redis has to hold at it. The sandbox events `purge` are gone
        with it: that is for an operator. Raises `FORBIDDEN`, `SERVICE_UNAVAILABLE`.

        In the session that has the shard's lock, if we have it: who has lost that, raises no epoch under a shard that
        somebody else has opened since. All of it is here, and the epoch is committed, before the first row is
        installed: no second image can have the same epoch."""
        with self._session_of(shard) as connection, translated(), connection.transaction():
            if purge:
                _as_operator(connection)
            for event_id in purge:
                connection.execute("SELECT booking.purge_event(%s::smallint, %s)", [shard, event_id])
            connection.execute("SELECT booking.outgrow_epoch(%s::smallint, %s)", [shard, past])
            rows = connection.execute(
                "SELECT kind, doc::text FROM booking.shard_image(p_shard => %s::smallint)", [shard]
            )
        _, head = rows.fetchone() or ("", "{}")
        return Image(**json.loads(head), rows=rows.rowcount - 1, chunks=_chunks(rows))

    def _session_of(self, shard: int) -> AbstractContextManager[psycopg.Connection[TupleRow]]:
        if shard in self._locked:
            return nullcontext(self._locked[shard])
        return self._postgres.session(self._timeout_s)


class PostgresDuty:
    """A shared session lock. It falls with its connection, however the process ends. `timeout_s` bounds a statement."""

    def __init__(self, postgres: Postgres, timeout_s: float = 5) -> None:
        self._postgres = postgres
        self._timeout_s = timeout_s
        self._session = ExitStack()
        self._connection: psycopg.Connection[TupleRow] | None = None

    def keep(self) -> None:
        try:
            with translated():
                if self._connection is None:
                    self._connection = self._session.enter_context(self._postgres.session(self._timeout_s))
                    self._connection.execute("SELECT pg_advisory_lock_shared(%s, 0)", [_DUTY])
                else:
                    self._connection.execute("SELECT 1")
        except Exception:
            self.leave()
            raise

    def leave(self) -> None:
        self._connection = None
        self._session.close()


def _as_operator(connection: psycopg.Connection[TupleRow]) -> None:
    """For the rest of the session. Raises `FORBIDDEN`."""
    try:
        connection.execute("SET ROLE holdfast_operator")
    except psycopg.errors.InsufficientPrivilege as error:
        raise refusal("FORBIDDEN", "DATABASE_URL has not the role holdfast_operator") from error


def _chunks(rows: psycopg.Cursor[TupleRow]) -> Iterator[Chunk]:
    """Decoded some at a time: where a process serves requests beside, none waits for all of them."""
    while some := rows.fetchmany(_ROWS):
        for kind, of_a_kind in groupby(some, key=itemgetter(0)):
            yield Chunk(kind, [doc for _, doc in of_a_kind])
