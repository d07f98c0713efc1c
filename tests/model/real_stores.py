"""One real Redis and one real Postgres, seen by the product's own stores: every call of them is a step of a schedule.

A function of Postgres is a transaction under way from its statement until its commit, on a connection of its own:
others run meanwhile, or whoever called it dies and it is rolled back. One that waits for another's lock waits in a
thread, and its caller's turns pass until it has it."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import psycopg
import redis

from app.domain.model import Event, Zone
from app.stores import scripts
from app.stores.breaker import Breaker
from app.stores.ledger import PostgresLedger
from app.stores.lua import Redis
from app.stores.postgres import Postgres, translated
from tests.model.stage import Broken, Stage
from tests.model.terms import (
    CAPACITIES,
    CURRENCY,
    EVENT,
    HOLD_SECONDS,
    HOLD_SECONDS_MAX,
    LIMIT,
    PRICE_MINOR,
    SHARD,
    SHARDS,
    Clock,
)

_READS: Final = (
    "get_booking",
    "list_payments",
    "epochs",
    "stale_reservations",
    "read_outbox",
    "get_zone_facts",
    "catalogue",
)
_TIMELESS: Final = ("freeze", "highest_epoch", "install", "flip")
_OF_THE_NEXT_STEP: Final = ("highest_epoch",)
"""Read just before what uses it: no turn of its own."""
_LOOK: Final = """
local live, zones, users = {}, {}, {}
for _, key in ipairs(call("KEYS", reservation_key("*"))) do
  local booking = string.sub(key, -16)
  local r = load(booking)
  live[text_of(booking)] = { r.state, r.user, r.zone, r.quantity, r.deadline, r.key, r.reserved_at }
end
for _, zone in ipairs(cjson.decode(ARGV[4])) do
  local z = call("MGET", zone_key(zone_name(ARGV[3], zone)), counts_key(zone_name(ARGV[3], zone)))
  local known = unpack_zone(z[1])
  if known then
    local counts = unpack_counts(z[2])
    zones[zone] = { known.capacity, known.confirmed, known.version, counts.held, counts.ceiling_number > 0 }
  end
end
for _, key in ipairs(call("KEYS", user_key(ARGV[3], "*"))) do
  local user = string.match(key, "[^/]+$")
  local u = load_user(ARGV[3], user)
  users[user] = { u.confirmed, u.held }
end
return { "OK", cjson.encode({ live = live, zones = zones, users = users }) }
"""
_RESET: Final = f"""
    DELETE FROM booking.payment_steps; DELETE FROM booking.payments; DELETE FROM booking.booking_history;
    DELETE FROM booking.idempotency_keys; DELETE FROM booking.bookings; DELETE FROM booking.user_seats;
    DELETE FROM booking.outbox;
    UPDATE booking.shards SET epoch = 1, highest_seq = 0 WHERE shard = {SHARD};
    UPDATE booking.zones SET confirmed_seats = 0, version = 1, ceiling_done = 0,
        capacity = CASE zone_id {" ".join(f"WHEN '{zone}' THEN {seats}" for zone, seats in CAPACITIES.items())} END;
"""


class Servers:
    """One database and one Redis, for schedules one after another."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self.owner = psycopg.connect(database_url, autocommit=True)
        self.monitor = psycopg.connect(database_url, autocommit=True)
        self.raw = redis.Redis.from_url(redis_url)
        self.redis_url, self.database_url = redis_url, database_url
        self.idle: list[psycopg.Connection[Any]] = []
        self.threads = ThreadPoolExecutor(16, "statement")
        parts = "\n".join(
            (scripts.LUA / "include" / f"{part}.lua").read_text()
            for part in ("shard", "keys", "indexes", "zone", "text", "reservation", "counts", "user")
        )
        self.look = self.raw.register_script(parts + _LOOK)
        self._open_sale()

    def _open_sale(self) -> None:
        ledger = PostgresLedger(self.plain(), SHARDS)
        ledger.put_event(
            Event(
                event_id=EVENT,
                name=EVENT,
                hold_seconds=HOLD_SECONDS,
                hold_seconds_max=HOLD_SECONDS_MAX,
                max_per_user=LIMIT,
            )
        )
        for name, capacity in CAPACITIES.items():
            zone = Zone(
                event_id=EVENT, zone_id=name, name=name, capacity=capacity, price_minor=PRICE_MINOR, currency=CURRENCY
            )
            ledger.open_zone(zone)

    def plain(self) -> "SteppedPostgres":
        return SteppedPostgres(Stage(None), self)

    def reset(self) -> None:
        self.owner.execute(_RESET.encode())
        self.raw.flushall()

    def lend(self) -> psycopg.Connection[Any]:
        if self.idle:
            return self.idle.pop()
        connection = psycopg.connect(self.database_url, autocommit=True)
        connection.execute("SET ROLE holdfast_app; SET statement_timeout = '20s'; SET synchronous_commit = off")
        return connection

    def close(self) -> None:
        for connection in (self.owner, self.monitor, *self.idle):
            connection.close()
        self.threads.shutdown()
        self.raw.close()


class SteppedRedis(Redis):
    """`generation` stands for a server's restarts: each has another run_id."""

    def __init__(self, stage: Stage, url: str, clock: Clock, asks: bool) -> None:
        super().__init__(url, 4, 20.0, Breaker("Redis", 0, 1.0))
        self._stage, self._clock, self._asks = stage, clock, asks
        self.generation = 1

    def run(self, name: str, key: str, arguments: Callable[[str], Sequence[str | int | bytes]]) -> list[Any]:
        if name not in _OF_THE_NEXT_STEP:
            self._stage.pause()

        def now(run_id: str) -> Sequence[str | int | bytes]:
            """As if the script had asked for the time: it may have passed since the call was made."""
            argv = list(arguments(self.seen(run_id)))
            return argv if name in _TIMELESS else [argv[0], self._clock.ms, *argv[2:]]

        return super().run(name, key, now)

    def command(self, *words: str | int | bytes) -> Any:
        self._stage.pause()
        return super().command(*words)

    def pipeline(self, commands: Sequence[Sequence[str | int | bytes]], raw: bool = False) -> list[Any]:
        self._stage.pause()
        return super().pipeline(commands, raw)

    def run_id(self) -> str:
        return self.seen(super().run_id())

    def seen(self, run_id: str) -> str:
        return f"{run_id}.{self.generation if self._asks else 0}"


class SteppedPostgres(Postgres):
    """Every call a transaction whose commit is a step of its own."""

    def __init__(self, stage: Stage, servers: Servers) -> None:
        super().__init__(servers.database_url, 1, 20.0, 20.0, Breaker("Postgres", 0, 1.0))
        self._stage, self._servers = stage, servers
        self._under_way: set[psycopg.Connection[Any]] = set()
        self._waiting: dict[int, Future[Any]] = {}
        self.commits = 0

    def rows(self, query: Any, parameters: Sequence[Any] = ()) -> list[Any]:
        with self.session(0) as session:
            if any(f"booking.{name}(" in query for name in _READS):
                self._stage.pause()
                return session.execute(query, parameters).fetchall()
            with session.transaction():
                return session.execute(query, parameters).fetchall()

    @contextmanager
    def session(self, timeout_s: float) -> Iterator[Any]:
        connection = self._servers.lend()
        try:
            with translated():
                yield _Session(self, connection)
        finally:
            connection.execute("SELECT pg_advisory_unlock_all()")
            self._servers.idle.append(connection)

    @contextmanager
    def transaction(self, connection: psycopg.Connection[Any]) -> Iterator[None]:
        self._stage.pause()
        connection.execute("BEGIN")
        try:
            try:
                yield
            except psycopg.Error:
                self._stage.pause()  # a refusal takes its time as well
                raise
            self._stage.pause()
        except BaseException:
            self._end(connection, "ROLLBACK")
            raise
        self._end(connection, "COMMIT")
        self.commits += 1

    def _end(self, connection: psycopg.Connection[Any], how: str) -> None:
        self._under_way.discard(connection)
        connection.execute(how.encode())
        # Who waited for it has the lock now, or waits for another: before anybody else has a turn.
        for pid, future in list(self._waiting.items()):
            self._is_blocked(pid, future)

    def execute(self, connection: psycopg.Connection[Any], query: Any, parameters: Sequence[Any]) -> Any:
        others = bool(self._under_way)
        self._under_way.add(connection)
        if not others:
            return self._checked(connection.execute, query, parameters)
        pid = connection.info.backend_pid
        future = self._waiting[pid] = self._servers.threads.submit(self._checked, connection.execute, query, parameters)
        try:
            while self._is_blocked(pid, future):
                self._stage.pause()
            return future.result()
        except BaseException:
            if not future.done():
                connection.cancel()
                future.exception()
            raise
        finally:
            del self._waiting[pid]

    def _checked(self, execute: Any, query: Any, parameters: Sequence[Any]) -> Any:
        try:
            return execute(query, parameters)
        except psycopg.errors.DeadlockDetected as error:
            raise Broken(f"a deadlock: {error}") from error

    def _is_blocked(self, pid: int, future: Future[Any]) -> bool:
        """Whether it waits for another's lock; False when it is done."""
        while not future.done():
            try:
                future.exception(timeout=0.002)
            except TimeoutError:
                query = "SELECT cardinality(pg_blocking_pids(%s)) > 0"
                ((blocked,),) = self._servers.monitor.execute(query, [pid]).fetchall()
                if blocked:
                    return True
        return False


class _Session:
    def __init__(self, postgres: SteppedPostgres, connection: psycopg.Connection[Any]) -> None:
        self._postgres, self._connection, self._inside = postgres, connection, False

    def execute(self, query: Any, parameters: Sequence[Any] = ()) -> Any:
        if self._inside:
            return self._postgres.execute(self._connection, query, parameters)
        if "pg_try_advisory_lock" in query:
            self._postgres._stage.pause()
        return self._connection.execute(query, parameters)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._inside = True
        with self._postgres.transaction(self._connection):
            yield
        self._inside = False
