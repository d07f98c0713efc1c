"""A sandbox event that is purged: nothing of it is left in either store, and nothing that the log still tells brings it
back. What is no sandbox stays, whoever asks."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from uuid import UUID

import psycopg
import pytest

from app.domain.errors import Unrecordable
from app.domain.ids import shard_of_event
from app.domain.model import Learned, Seats
from app.domain.ports import Entry
from app.wiring import Wiring
from dev.redis import Redis
from tests.support import servers
from tests.support.controls import altered_function, altered_script, goes_red
from tests.support.seats import Clock, Sale, open_sale, reopen

_numbers = itertools.count(1)
_OPERATOR = "operator_of_a_test"
_TABLES = """
    SELECT table_name FROM information_schema.columns WHERE table_schema = 'booking' AND column_name = 'event_id'
"""


def _shard(sale: Sale) -> int:
    return shard_of_event(sale.event_id, len(sale.shop.shards))


@pytest.fixture
def sale(shop: Wiring, clock: Clock) -> Iterator[Sale]:
    """A sandbox with one of everything; leaves its shop open."""
    sale = open_sale(shop, clock, event_id=f"sandbox:purged-{next(_numbers)}")
    shop.confirm("ann", sale.reserve("ann", 2).booking.booking_id, "card")
    shop.release("bob", sale.reserve("bob", 1).booking.booking_id)
    kept = sale.reserve("cy", 3, idempotency_key="k").booking.booking_id
    shop.extend("cy", kept, "k2")
    yield sale
    reopen(shop)


@pytest.fixture
def neighbour(shop: Wiring, clock: Clock, sale: Sale) -> Sale:
    """A real event of the same shard."""
    ids = (f"gala-{next(_numbers)}" for _ in itertools.count())
    same = next(i for i in ids if shard_of_event(i, len(shop.shards)) == _shard(sale))
    other = open_sale(shop, clock, event_id=same)
    shop.confirm("ann", other.reserve("ann", 2).booking.booking_id, None)
    other.reserve("bob", 1, idempotency_key="k")
    return other


def _purge(sale: Sale) -> list[Entry]:
    """Answers what the log goes on telling of it."""
    told = list(sale.shop.outbox.read(_shard(sale), 500))
    sale.record()
    assert sale.shop.rebuild()(_shard(sale), [sale.event_id])
    sale.shop.epochs.refresh()
    return [entry for entry in told if entry["event_id"] == sale.event_id]


def _left_in_postgres(sale: Sale) -> dict[str, int]:
    tables = {table for (table,) in sale.rows(_TABLES)} - {"purged_events"}
    counts = {
        table: sale.rows(f"SELECT count(*) FROM booking.{table} WHERE event_id = %s", sale.event_id)[0][0]
        for table in tables
    }
    counts["outbox"] = sale.rows("SELECT count(*) FROM booking.outbox WHERE data::text ~ %s", sale.event_id)[0][0]
    orphans = (
        "SELECT count(*) FROM booking.booking_history WHERE booking_id NOT IN (SELECT booking_id FROM booking.bookings)"
    )
    counts["booking_history"] = sale.rows(orphans)[0][0]
    return {table: count for table, count in counts.items() if count}


def _left_in_redis(sale: Sale, bookings: list[str]) -> set[bytes]:
    """Of the open name space."""
    space = f"{{{_shard(sale):02}}}:{sale.shop.epochs.of(_shard(sale))}:"
    (keys,) = sale.shop.redis.pipeline([("KEYS", f"{space}*")], raw=True)
    names = (sale.event_id.encode(), *(UUID(booking).bytes for booking in bookings))
    return {key for key in keys for name in names if name in key}


def _is_gone(sale: Sale) -> None:
    assert not (left := _left_in_postgres(sale)), f"left in Postgres: {left}"
    assert not (left := _left_in_redis(sale, [])), f"left in Redis: {left}"
    sale.refused("EVENT_NOT_FOUND", sale.reserve)


def test_nothing_of_it_is_left_in_either_store(sale: Sale) -> None:
    sale.record()
    sale.shop.photograph()
    bookings = [
        b for (b,) in sale.rows("SELECT booking_id::text FROM booking.bookings WHERE event_id = %s", sale.event_id)
    ]
    assert len(_left_in_redis(sale, bookings)) >= 6  # a zone, its deadlines, a user, a reservation, two keys
    assert _left_in_postgres(sale).keys() >= {"bookings", "idempotency_keys", "user_seats", "redis_snapshots", "outbox"}
    _purge(sale)
    assert not _left_in_redis(sale, bookings)
    _is_gone(sale)


def test_its_neighbours_in_the_shard_keep_everything(sale: Sale, neighbour: Sale) -> None:
    _purge(sale)
    assert neighbour.seats() == Seats(capacity=10, confirmed=2, held=1, available=7)
    assert neighbour.reserve("bob", 1, idempotency_key="k").replayed
    assert not sale.shop.reconcile(neighbour.event_id).findings


def test_the_log_told_again_does_not_bring_it_back(sale: Sale, neighbour: Sale, clock: Clock) -> None:
    facts = sale.shop.ledger.zone_facts(sale.event_id, "A").zones
    user = {"event_id": sale.event_id, "user_id": "ann", "confirmed": 2, "version": 1}
    told = _purge(sale)
    assert {entry["kind"] for entry in told} >= {"created", "released", "extended"}
    sale.shop.recorder.record(told)
    sale.shop.reservations.learn(_shard(sale), Learned(facts, (user,)))
    _is_gone(sale)
    assert not sale.shop.reconcile(neighbour.event_id).findings


def test_control_a_recorder_that_does_not_look_meets_what_is_gone(sale: Sale, database: str) -> None:
    told = _purge(sale)
    with (
        altered_function(database, "held_entries", "NOT EXISTS (SELECT FROM purged_events) THEN", "true THEN"),
        pytest.raises(Unrecordable, match="there is no zone"),
    ):
        sale.shop.recorder.record(told)


def test_control_a_redis_that_learns_whatever_it_is_told_goes_red(sale: Sale) -> None:
    facts = sale.shop.ledger.zone_facts(sale.event_id, "A").zones
    _purge(sale)
    unaware = ("learn", 'call("SISMEMBER", purged_key, event) == 1', "false")
    with altered_script(*unaware), goes_red("left in Redis"):
        sale.shop.reservations.learn(_shard(sale), Learned(facts))
        _is_gone(sale)


def test_what_was_under_way_is_refused_and_leaves_nothing(sale: Sale) -> None:
    booking_id = sale.reserve("dee").booking.booking_id
    pin = sale.shop.reservations.confirm(booking_id, "dee", None)
    _purge(sale)
    (decision,) = sale.shop.ledger.confirm_bookings([pin])
    assert decision.outcome == "SERVICE_UNAVAILABLE"
    (settled,) = sale.shop.ledger.settle_bookings([pin])
    assert settled.outcome == "UNDECIDED"
    _is_gone(sale)
    sale.refused("RESERVATION_NOT_FOUND", sale.shop.confirm, "dee", booking_id, None)


def test_its_id_is_not_given_out_again(sale: Sale, clock: Clock) -> None:
    _purge(sale)
    sale.refused("EVENT_NOT_FOUND", open_sale, sale.shop, clock, event_id=sale.event_id)


def test_what_is_no_sandbox_is_refused_and_stays(neighbour: Sale) -> None:
    refused = neighbour.refused("FORBIDDEN", neighbour.shop.rebuild(), _shard(neighbour), [neighbour.event_id])
    assert refused.detail == f"{neighbour.event_id} is no sandbox event"
    assert neighbour.seats().confirmed == 2


@pytest.fixture
def logins(database: str) -> Iterator[Callable[[str], str]]:
    """`logins("holdfast_app")`: a URL whose login has these roles alone."""

    def login(*roles: str) -> str:
        with psycopg.connect(database, autocommit=True) as owner:
            owner.execute(f"CREATE ROLE {_OPERATOR} LOGIN PASSWORD 'secret' IN ROLE {', '.join(roles)}".encode())
        address = psycopg.conninfo.conninfo_to_dict(database)
        return f"postgresql://{_OPERATOR}:secret@{address['host']}:{address['port']}/{address['dbname']}"

    yield login
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(f"DROP ROLE IF EXISTS {_OPERATOR}".encode())


def _ops(url: str, redis_server: Redis, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = servers.environment(
        DATABASE_URL=url,
        REDIS_URL=redis_server.url,
        AUTH_MODE="gateway",
        APP_ENV="development",
        HOME=os.environ["HOME"],
    )
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "ops", "purge-event", *arguments]
    return subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=60)


def test_an_operator_purges_by_name(sale: Sale, logins: Callable[..., str], redis_server: Redis) -> None:
    sale.record()
    ended = _ops(logins("holdfast_app", "holdfast_operator"), redis_server, sale.event_id)
    assert (ended.returncode, ended.stdout) == (0, f"{sale.event_id} is gone\n"), ended.stderr
    sale.shop.epochs.refresh()
    _is_gone(sale)


def test_the_application_itself_may_not(sale: Sale, logins: Callable[..., str], redis_server: Redis) -> None:
    ended = _ops(logins("holdfast_app"), redis_server, sale.event_id)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "Error: FORBIDDEN: DATABASE_URL has not the role holdfast_operator"
    assert sale.seats().confirmed == 2
