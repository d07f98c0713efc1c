"""The real stores as a world to play in: what the services are given, what Redis forgets, both stores as they stand."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from app.domain.model import Booking, Pin
from app.domain.payments import Payment
from app.stores import keys
from app.stores.ledger import PostgresLedger
from app.stores.outboxes import LedgerOutbox, RedisOutbox
from app.stores.payments.attempts import PostgresPayments
from app.stores.postgres import Postgres
from app.stores.rebuilding import PostgresRebuilding, RedisRebuilding
from app.stores.recorder import PostgresRecorder
from app.stores.reservations import RedisReservations
from tests.model.judge import Live, Recorded, View
from tests.model.model import Epochs
from tests.model.real_stores import Servers, SteppedPostgres, SteppedRedis
from tests.model.stage import Stage
from tests.model.terms import CAPACITIES, EVENT, SHARD, SHARDS, Clock, Mint
from tests.support.transitions import Transition

_VIEW: Final = """
    SELECT jsonb_build_object(
        'epoch', (SELECT epoch FROM booking.shards WHERE shard = %(shard)s),
        'zones', (SELECT jsonb_object_agg(zone_id, jsonb_build_array(capacity, confirmed_seats, version))
                  FROM booking.zones WHERE event_id = %(event)s),
        'users', (SELECT jsonb_object_agg(user_id, jsonb_build_array(confirmed_seats, version))
                  FROM booking.user_seats),
        'rows', (SELECT jsonb_object_agg(booking_id, jsonb_build_array(status, user_id, zone_id, quantity,
                     booking.to_ms(deadline), coalesce(idempotency_key, ''), booking.to_ms(reserved_at), cause))
                 FROM booking.bookings),
        'claims', (SELECT jsonb_agg(jsonb_build_array(user_id, verb, key, booking_id, booking.to_ms(since),
                       answer -> 'deadline')) FROM booking.kept_keys(%(shard)s::smallint)),
        'history', (SELECT jsonb_agg(jsonb_build_array(history_id, booking_id, epoch, version, status, cause))
                    FROM booking.booking_history),
        'payments', (SELECT jsonb_agg(jsonb_build_array(state, booking_id, replaces)) FROM booking.payments)
    )
"""


class RealPayments(PostgresPayments):
    def __init__(self, postgres: Postgres, world: "RealWorld") -> None:
        super().__init__(postgres)
        self._world = world

    def pin_without_redis(self, payment: Payment) -> Pin:
        """For the control that does not ask Redis."""
        row = self._world.servers.monitor.execute(
            "SELECT booking.get_booking(%s), epoch FROM booking.shards WHERE shard = %s", [payment.booking_id, SHARD]
        ).fetchone()
        assert row
        booking = Booking(**row[0])
        return Pin(
            booking=booking,
            epoch=row[1],
            number=10**6,
            idempotency_key="",
            fingerprint="",
            payment_id=payment.payment_id,
        )


class RealWorld:
    def __init__(self, servers: Servers, stage: Stage, off: str | None) -> None:
        servers.reset()
        self.servers, self.stage, self.off = servers, stage, off
        self.clock = _RealClock(servers)
        self.redis = SteppedRedis(stage, servers.redis_url, self.clock, asks=off != "run_id_is_asked")
        self.postgres = SteppedPostgres(stage, servers)
        self._known: Any = None
        self._seen: tuple[int, int] = (-1, -1)
        self._late: dict[int, bool] = {}
        self.ledger = PostgresLedger(self.postgres, SHARDS)
        epochs: Any = Epochs(stage, lambda: self._read()["epoch"])
        self.reservations = RedisReservations(self.redis, epochs, SHARDS, 10**6, Mint(), self.clock)
        self.recorder = PostgresRecorder(self.postgres)
        self.payments = RealPayments(self.postgres, self)
        self.rebuilding = RedisRebuilding(self.redis), _rebuilding(self.postgres, off)
        self.outbox = RedisOutbox(self.redis)
        self.ledger_outbox = LedgerOutbox(self.postgres)
        self._saved: dict[bytes, bytes] = {}

    def close(self) -> None:
        self.redis.close()

    def is_open(self) -> bool:
        return self.view().is_open

    def save(self) -> None:
        raw = self.servers.raw
        names = raw.keys()
        pipe = raw.pipeline()
        for name in names:
            pipe.dump(name)
        self._saved = dict(zip(names, pipe.execute(), strict=True))

    def forget(self, older: bool, same_process: bool) -> None:
        pipe = self.servers.raw.pipeline()
        pipe.flushall()
        for name, value in self._saved.items() if older else ():
            pipe.restore(name, 0, value)
        pipe.execute()
        self.redis.generation += not same_process

    def _read(self) -> Any:
        """Postgres as it is committed."""
        if self._known is None or self._seen[0] != self.postgres.commits:
            named = {"shard": SHARD, "event": EVENT}
            ((self._known,),) = self.servers.monitor.execute(_VIEW, named).fetchall()
            self._seen = (self.postgres.commits, -1)
        return self._known

    def view(self) -> View:
        pg = self._read()
        run_id = self.redis.seen(_run_id(self.servers))
        head = keys.head(pg["epoch"], run_id), self.clock.ms, EVENT, json.dumps(list(CAPACITIES))
        answer, told = self.servers.look(keys=[keys.epoch(SHARD)], args=list(head))
        view = View(
            answer == b"OK",
            f"Redis is at epoch {self.servers.raw.get(keys.epoch(SHARD))!r}, Postgres at {pg['epoch']}"
            if answer != b"OK"
            else "",
            {zone: tuple(figures) for zone, figures in (pg["zones"] or {}).items()},
            {user: tuple(figures) for user, figures in (pg["users"] or {}).items()},
            {booking: Recorded(*fields) for booking, fields in (pg["rows"] or {}).items()},
            {
                (user, verb, key): (booking, at, deadline)
                for user, verb, key, booking, at, deadline in pg["claims"] or ()
            },
            payments=[tuple(payment) for payment in pg["payments"] or ()],
        )
        for row_id, booking, epoch, *what in pg["history"] or ():
            # Every commit is looked at: its epoch is the one that stands beside it.
            late = self._late.setdefault(row_id, epoch < pg["epoch"])
            view.history.setdefault(booking, []).append(Transition(epoch, *what, late))
        if view.is_open:
            found = json.loads(told)
            view.live = {booking: Live(*fields) for booking, fields in dict(found["live"]).items()}
            view.sold_by = {zone: tuple(figures) for zone, figures in dict(found["zones"]).items()}
            view.counts = {user: tuple(figures) for user, figures in dict(found["users"]).items()}
        return view


def _run_id(servers: Servers) -> str:
    known: str | None = getattr(servers, "run_id", None)
    if known is None:
        known = servers.run_id = servers.raw.info("server")["run_id"]
    return known


def _rebuilding(postgres: SteppedPostgres, off: str | None) -> PostgresRebuilding:
    return Unlocked(postgres) if off == "one_rebuilds" else PostgresRebuilding(postgres)


class Unlocked(PostgresRebuilding):
    """The control: everybody may rebuild."""

    @contextmanager
    def rebuild_lock(self, shard: int) -> Iterator[bool]:
        with super().rebuild_lock(shard):
            yield True


class _RealClock(Clock):
    """Postgres' functions read it as well."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        super().__init__()

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name == "ms":
            self._servers.owner.execute("UPDATE booking.test_clock SET at = booking.from_ms(%s)", [value])
