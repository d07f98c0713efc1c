"""`flask ops reconcile --repair` while customers go on buying: what was damaged by hand in either store is closed, at
once where facts or a settlement do, and by a rebuild of its shard where only that can."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app.domain.ids import shard_of_event
from tests.support import invariants, promises
from tests.support.buyers import until
from tests.support.edits import by_hand
from tests.support.storm import Customers
from tests.support.system import System, running

pytestmark = pytest.mark.timeout(240)
SECONDS, RATE, CAPACITY, LIMIT = 40, 200, 3_000, 50
VERBS = {"reserve": 40, "confirm": 25, "cancel": 20, "release": 10, "extend": 5}
CODES = {"ZONE_MISSING", "HELD_DIFFERS", "MISCOUNTED", "NOT_RECORDED", "ENDED_IN_POSTGRES"}


@pytest.fixture
def system(session_directory: Path) -> Iterator[System]:
    # The worker's own audit would be quicker.
    with running(session_directory / "repair", AUDIT_SECONDS="3600") as system:
        yield system


def _ops(system: System, *arguments: str) -> tuple[int, dict[str, Any]]:
    asked = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "ops", "reconcile", "--json", *arguments],
        env={**os.environ, **system.stack.settings},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert asked.stdout, asked.stderr
    return asked.returncode, json.loads(asked.stdout)


def _open(system: System, capacity: int, shard: int, **terms: int) -> str:
    """An event of this shard: a rebuild of one is then no help to another."""
    for _ in range(500):
        event_id = system.box.open_event(capacity, **terms)
        if shard_of_event(event_id, len(system.shop.shards)) == shard:
            return event_id
    raise AssertionError(f"no event of shard {shard}")


def _damage(system: System, busy: list[str], gone: str, held: list[str]) -> None:
    """Past every script and function. The reservations `held` are of an event that nobody else asks for."""
    shop = system.shop

    def zone(what: str, event_id: str) -> str:
        shard = shard_of_event(event_id, len(shop.shards))
        return f"{{{shard:02}}}:{shop.epochs.of(shard)}:{what}:{event_id}/A"

    by_hand(shop.redis.command, "EDIT", zone("counts", busy[0]), {"held": "+7"})
    shop.redis.command("DEL", zone("zone", gone))
    with psycopg.connect(system.database, autocommit=True) as owner:
        owner.execute("UPDATE booking.zones SET confirmed_seats = confirmed_seats + 2 WHERE event_id = %s", [busy[1]])
        owner.execute("DELETE FROM booking.booking_history WHERE booking_id = ANY (%s::uuid[])", [held[:2]])
        owner.execute("DELETE FROM booking.bookings WHERE booking_id = ANY (%s::uuid[])", [held[:2]])
        owner.execute(
            "WITH ended AS (UPDATE booking.bookings SET status = 'released', version = 2, ended_at = now(), "
            "cause = 'release' WHERE booking_id = %s RETURNING booking_id, epoch) "
            "INSERT INTO booking.booking_history (booking_id, epoch, version, status, at, cause) "
            "SELECT booking_id, epoch, 2, 'released', now(), 'release' FROM ended",
            [held[2]],
        )


def test_a_repair_under_load_closes_the_drift_and_fails_nobody(system: System) -> None:
    box = system.box
    terms = {"max_per_user": LIMIT, "hold_seconds": 15, "hold_seconds_max": 60}
    busy = [_open(system, CAPACITY, shard, **terms) for shard in range(4)]
    quiet, gone = (_open(system, 10, shard) for shard in (4, 5))
    held = [box.reserve(quiet, f"quiet-{n}").body["booking_id"] for n in range(3)]
    customers = Customers(box.base_url, dict.fromkeys(busy, CAPACITY), (CAPACITY, CAPACITY), RATE, 7, VERBS)
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(customers.run, SECONDS)
        time.sleep(8)
        _damage(system, busy, gone, held)
        status, before = _ops(system)
        assert status == 1
        assert {each["code"] for each in before["data"]} >= CODES
        began = time.time()
        status, repair = _ops(system, "--repair")
        ended = time.time()
        load.result()
    meanwhile = Counter(call.status for call in customers.record.calls if began <= call.answered <= ended)
    seats = sum(abs(each["seats"]) for each in before["data"])
    print(f"before: {len(before['data'])} differences, {seats} seats; after: {len(repair['data'])} ({status=})")
    print(f"repair: {ended - began:.1f} s, {meanwhile.total()} requests meanwhile: {dict(meanwhile)}")
    assert (status, repair["data"]) == (0, [])
    for event_id in busy:
        until(lambda e=event_id: box.seats(e)["held"] == 0, 60, "what nobody confirmed has expired")
    until(system.agreed, 30, "no drift at rest")
    record = customers.record
    invariants.each_of(
        lambda: promises.only_honest_statuses(record),
        *(lambda e=e: promises.never_sold_twice(record, e, CAPACITY) for e in busy),
        lambda: invariants.stores_agree(system.shop),
        lambda: invariants.answers_are_true(system.database, record),
    )
