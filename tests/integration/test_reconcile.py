"""reconcile on real stores: each kind of drift is found with its cause and closed, and traffic is no drift."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest
import redis

from app.domain.errors import Refusal
from app.domain.ids import shard_of_event
from app.services.reconcile import Reconcile
from app.wiring import Wiring
from dev.redis import Redis
from tests.support import servers
from tests.support.controls import goes_red
from tests.support.edits import by_hand
from tests.support.seats import Clock, Sale, key_of, open_sale, open_shop


@pytest.fixture(scope="module")
def shop(database: str, redis_server: Redis) -> Iterator[Wiring]:
    redis.Redis.from_url(redis_server.url).flushall()
    wiring = open_shop(database, redis_server.url)
    yield wiring
    wiring.close()


@pytest.fixture
def owner(database: str) -> Iterator[psycopg.Connection[Any]]:
    """Who may do to the tables what no function does."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def sale(shop: Wiring) -> Sale:
    """Ten seats: two confirmed, three and one held; all recorded, no drift."""
    sale = open_sale(shop, Clock())
    sale.shop.confirm("cid", sale.reserve("cid", 2).booking.booking_id, None)
    sale.reserve("ann", 3)
    sale.reserve("bob", 1)
    sale.record()
    assert found(sale) == []
    return sale


def _reconcile(sale: Sale) -> Reconcile:
    """The shop's, which does not wait between two looks: nothing is on its way unless a test puts it there."""
    return replace(sale.shop.reconcile, sleep=lambda seconds: None)


def found(sale: Sale, repair: bool = False) -> list[tuple[str, int]]:
    return [(finding.code, finding.seats) for finding in _reconcile(sale)(sale.event_id, repair).findings]


def _shard(sale: Sale) -> int:
    return shard_of_event(sale.event_id, len(sale.shop.shards))


def _space(sale: Sale) -> str:
    return f"{{{_shard(sale):02}}}:{sale.shop.epochs.of(_shard(sale))}"


def _redis(sale: Sale, verb: str, key: str, *rest: Any) -> None:
    ann = sale.rows("SELECT booking_id::text FROM booking.bookings WHERE event_id = %s AND user_id = 'ann'",
                    sale.event_id)[0][0]  # fmt: skip
    name = key_of(f"{_space(sale)}:{key.format(event=sale.event_id, ann=ann)}")
    by_hand(sale.shop.redis.command, verb, name, *rest)


Damage = Callable[[Sale, psycopg.Connection[Any]], None]


def _in_redis(*command: Any) -> Damage:
    return lambda sale, owner: _redis(sale, *command)


def _in_postgres(statement: Any) -> Damage:
    return lambda sale, owner: (owner.execute(statement, [sale.event_id]), None)[1]


def _lose_the_outbox(verb: Callable[[Sale], Any]) -> Damage:
    """What was to be recorded of `verb` is gone: neither store has it on its way."""

    def damage(sale: Sale, owner: psycopg.Connection[Any]) -> None:
        verb(sale)
        batch = sale.shop.outbox.read(_shard(sale), 500)
        sale.shop.outbox.acknowledge({_shard(sale): batch[-1]["seq"]})

    return damage


def _ann(sale: Sale) -> str:
    return next(s.booking.booking_id for s in sale.shop.reservations.mine("ann", [sale.event_id], []))


@pytest.mark.parametrize(
    ("damage", "differs"),
    [
        (_in_redis("EDIT", "counts:{event}/A", {"held": "-2"}), [("HELD_DIFFERS", -2)]),
        (_in_redis("DEL", "zone:{event}/A"), [("ZONE_MISSING", 10)]),
        (_in_redis("EDIT", "zone:{event}/A", {"confirmed": 0}), [("FACTS_DIFFER", 2)]),
        (_in_redis("EDIT", "zone:{event}/A", {"confirmed": 0, "version": 1}), [("FACTS_BEHIND", 2)]),
        (
            lambda sale, owner: [
                _redis(sale, "ZREM", "deadlines:{event}/A/0", UUID(_ann(sale)).bytes + b"3"),
                _redis(sale, "EDIT", "counts:{event}/A", {"held": "-3"}),
                _redis(sale, "DEL", "r:{ann}"),
            ],
            [("FORGOTTEN", 3)],
        ),
        (
            _in_postgres(
                "UPDATE booking.bookings SET status = 'released', ended_at = now(), cause = 'release' "
                "WHERE event_id = %s AND user_id = 'ann'"
            ),
            [("ENDED_IN_POSTGRES", 3), ("HISTORY_DIFFERS", 3)],
        ),
        (_lose_the_outbox(lambda sale: sale.reserve("dan", 2)), [("NOT_RECORDED", 2)]),
        (_lose_the_outbox(lambda sale: sale.shop.release("ann", _ann(sale))), [("END_NOT_RECORDED", 3)]),
        (
            _in_postgres("UPDATE booking.zones SET confirmed_seats = 5 WHERE event_id = %s"),
            [("FACTS_DIFFER", 3), ("MISCOUNTED", 3)],
        ),
        (
            _in_postgres(
                "DELETE FROM booking.booking_history WHERE booking_id IN "
                "(SELECT booking_id FROM booking.bookings WHERE event_id = %s AND user_id = 'cid') "
                "AND status = 'confirmed'"
            ),
            [("HISTORY_DIFFERS", 4)],
        ),
    ],
    ids=(
        *("held edited", "zone gone", "facts edited", "facts older", "reservation gone", "ended by hand"),
        *("entry lost", "ending lost", "sum edited", "history gone"),
    ),
)
def test_what_differs_is_told_with_its_cause_and_closed(
    sale: Sale, owner: psycopg.Connection[Any], damage: Damage, differs: list[tuple[str, int]]
) -> None:
    damage(sale, owner)
    assert sorted(found(sale)) == differs
    left = found(sale, repair=True)
    sale.shop.epochs.refresh()
    assert left == [each for each in differs if each[0] == "HISTORY_DIFFERS"]  # what happened is never rewritten
    (zone,) = sale.shop.inventory(sale.event_id)
    assert zone.drift == {"capacity": 0, "confirmed": 0, "held": 0}
    assert sale.shop.audit(_shard(sale)) == ""


def test_what_waits_in_the_outbox_is_no_drift(sale: Sale) -> None:
    sale.reserve("dan", 2)
    sale.shop.release("ann", _ann(sale))
    assert found(sale) == []


def test_traffic_is_no_drift_and_whoever_looks_only_once_takes_it_for_that(sale: Sale) -> None:
    stop = threading.Event()

    def traffic(number: int) -> None:
        """Confirms and cancels; each is in one store a moment before it is in the other."""
        while not stop.is_set():
            try:
                booking_id = sale.reserve(f"user-{number}").booking.booking_id
                sale.shop.confirm(f"user-{number}", booking_id, None)
                sale.shop.cancel(f"user-{number}", booking_id, None)
            except Refusal:
                continue

    def settles() -> None:
        while not stop.wait(0.05):
            sale.record()

    threads = [threading.Thread(target=traffic, args=(n,)) for n in range(3)] + [threading.Thread(target=settles)]
    for thread in threads:
        thread.start()
    try:
        looks = [replace(sale.shop.reconcile, sleep=lambda s: stop.wait(min(s, 0.3)))(sale.event_id) for _ in range(5)]
        once = [sale.shop.reconcile._compare(zone, zone.version)[1] for _ in range(200)
                for zone in sale.shop.ledger.reconcile_zones(sale.event_id)]  # fmt: skip
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    _is_no_drift([finding for report in looks for finding in report.findings])
    with goes_red("in traffic"):
        _is_no_drift([finding for findings in once for finding in findings])
    sale.record()
    assert found(sale) == []


def _is_no_drift(findings: list[Any]) -> None:
    assert not findings, f"{len(findings)} differences in traffic, such as {findings[0].code}"


def test_the_command_exits_with_1_while_something_differs_and_repairs_it(
    sale: Sale, database: str, redis_server: Redis
) -> None:
    told = {"DATABASE_URL": database, "REDIS_URL": redis_server.url, "AUTH_MODE": "gateway", "ADMIN_TOKEN": "a" * 16}

    def reconcile(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "ops", "reconcile", "--event", *arguments]
        environment = dict(servers.environment(**told))
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    assert (reconcile(sale.event_id).returncode, reconcile("nothing").returncode) == (0, 1)
    _redis(sale, "EDIT", "counts:{event}/A", {"held": "+1"})
    differs = reconcile(sale.event_id)
    assert differs.returncode == 1
    assert "held is not the sum of the reservations in Redis" in differs.stdout
    assert "looking again" in differs.stderr
    repaired = reconcile(sale.event_id, "--repair", "--json")
    assert repaired.returncode == 0, repaired.stderr
    body = json.loads(repaired.stdout)
    assert ([each["code"] for each in body["repaired"]], body["data"]) == (["HELD_DIFFERS"], [])
    sale.shop.epochs.refresh()
