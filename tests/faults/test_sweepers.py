"""Sweepers in processes of their own, as many as one likes: paused, killed and late, they credit each seat once."""

import itertools
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from app.domain.ids import shard_of_event
from app.domain.model import Pin
from app.stores.scripts import script
from app.wiring import Wiring
from dev.proxy import Fault, Kind, Proxy
from dev.redis import Redis
from dev.worker import Worker
from tests.support import servers
from tests.support.altered_worker import AlteredWorker
from tests.support.buyers import until
from tests.support.controls import goes_red
from tests.support.seats import Clock, Sale, open_sale, open_shop

pytestmark = pytest.mark.timeout(180)
Start = Callable[..., Worker]
CAPACITY = 10
STORM_SECONDS = 20
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def shop(database: str, redis_server: Redis) -> Iterator[Wiring]:
    redis.Redis.from_url(redis_server.url).flushall()
    wiring = open_shop(database, redis_server.url)
    yield wiring
    wiring.close()


@pytest.fixture
def start(session_directory: Path, database: str, redis_server: Redis) -> Iterator[Start]:
    """Starts a process that only sweeps, without an audit that would repair what it does wrong."""
    started: list[Worker] = []

    def start(database_url: str = database, redis_url: str = redis_server.url, altered: tuple[str, ...] = ()) -> Worker:
        environment = servers.environment(
            DATABASE_URL=database_url,
            REDIS_URL=redis_url,
            AUTH_MODE="gateway",
            ADMIN_TOKEN="admin-token-of-the-tests",
            APP_ENV="development",
            PIN_LIMIT_SECONDS="1",
            AUDIT_SECONDS="86400",
        )
        where = session_directory / f"sweeper-{next(_numbers)}"
        program = (
            AlteredWorker(where, environment, ["sweeper"], altered)
            if altered
            else Worker(where, environment, ["sweeper"])
        )
        program.start()
        started.append(program)
        return program

    yield start
    for worker in started:
        worker.resume()
        worker.stop()


def _pins(sale: Sale) -> list[Pin]:
    """Everything is reserved and pinned, and will not be confirmed."""
    bookings = [sale.reserve(f"user-{n}", 2).booking for n in range(CAPACITY // 2)]
    return [sale.shop.reservations.confirm(b.booking_id, b.user_id, "card") for b in bookings]


def _settle_is_known(sale: Sale) -> bytes:
    """How the script's next call is recognised on the wire."""
    shard = shard_of_event(sale.event_id, len(sale.shop.shards))
    sale.shop.reservations.settle(shard, [], [], sale.shop.ledger.zone_facts(sale.event_id, "A"))
    return script("settle").sha.encode()


@contextmanager
def _first_stopped(
    start: Start, database: str, redis_url: str, at: tuple[str, bytes, Kind], altered: tuple[str, ...] = ()
) -> Iterator[tuple[Worker, Fault]]:
    """A sweeper whose message to `at` (a server's name, what the message holds) gets no further."""
    server, match, kind = at
    ports = [urlsplit(url).port or 0 for url in (database, redis_url)]
    with Proxy(ports[0]) as to_postgres, Proxy(ports[1]) as to_redis:
        fault = {"postgres": to_postgres, "redis": to_redis}[server].meet(match, kind)
        first = start(to_postgres.url(database), to_redis.url(redis_url), altered)
        fault.wait()
        yield first, fault
        first.kill()  # before its servers go


def _second_does_the_work(sale: Sale, start: Start, pins: list[Pin], altered: tuple[str, ...] = ()) -> None:
    """Another sweeper brings the seats back, and they are sold again to the last."""
    second = start(altered=altered)
    until(lambda: sale.seats().available == CAPACITY, 10, "the other sweeper brings the seats back")
    for pin in pins:
        assert sale.history(pin.booking.booking_id)[-1] == (2, "expired", "unconfirmed")
    for n in range(CAPACITY):
        sale.reserve(f"buyer-{n}")
    second.kill()


def _nothing_is_credited_twice(sale: Sale, pins: list[Pin]) -> None:
    seats = sale.seats()
    assert (seats.held, seats.available) == (CAPACITY, 0), f"credited twice: {seats}"
    sale.refused("INSUFFICIENT_SEATS", sale.reserve, "one-too-many")
    for pin in pins:
        assert [status for _, status, _ in sale.history(pin.booking.booking_id)] == ["reserved", "expired"]


# Between Postgres' decision and Redis' credit there is a line; these are its two sides.
LINES = [("postgres", b"booking.settle_bookings(", "hold answer"), ("redis", b"", "hold request")]


@pytest.mark.parametrize("line", LINES, ids=["decided, not credited", "credit under way"])
def test_a_sweeper_paused_in_its_batch_and_resumed_when_another_has_done_the_work(
    shop: Wiring, start: Start, database: str, redis_server: Redis, line: tuple[str, bytes, Kind]
) -> None:
    _paused(open_sale(shop, Clock(), CAPACITY), start, database, redis_server, line)


def _paused(
    sale: Sale,
    start: Start,
    database: str,
    redis_server: Redis,
    line: tuple[str, bytes, Kind],
    altered: tuple[str, ...] = (),
) -> None:
    server, match, kind = line
    match = match or _settle_is_known(sale)
    pins = _pins(sale)
    with _first_stopped(start, database, redis_server.url, (server, match, kind), altered) as (first, fault):
        first.pause()
        _second_does_the_work(sale, start, pins)
        fault.release()
        first.resume()
        time.sleep(2)  # it goes on where it was, and sweeps again
        assert first.running
        _nothing_is_credited_twice(sale, pins)


@pytest.mark.parametrize("line", LINES, ids=["decided, not credited", "credit under way"])
def test_a_sweeper_killed_in_its_batch_is_succeeded_by_another(
    shop: Wiring, start: Start, database: str, redis_server: Redis, line: tuple[str, bytes, Kind]
) -> None:
    sale = open_sale(shop, Clock(), CAPACITY)
    server, match, kind = line
    match = match or _settle_is_known(sale)
    pins = _pins(sale)
    with _first_stopped(start, database, redis_server.url, (server, match, kind)) as (first, fault):
        first.kill()
        _second_does_the_work(sale, start, pins)
        fault.release()  # a request that Redis gets when its sender is dead
        time.sleep(0.5)
        _nothing_is_credited_twice(sale, pins)


ALIVE = 'if one[2].state == "reserved" or one[2].state == "pinned" then'
ONCE = "counts.held, u.held = counts.held - r.quantity, "


def test_control_a_credit_without_a_look_at_the_state_goes_red(
    shop: Wiring, start: Start, database: str, redis_server: Redis
) -> None:
    with goes_red("credited twice"):
        sale = open_sale(shop, Clock(), CAPACITY)
        _paused(sale, start, database, redis_server, LINES[0], ("settle", ALIVE, "if true then"))


def test_control_a_credit_that_counts_double_goes_red(shop: Wiring, start: Start) -> None:
    sale = open_sale(shop, Clock(), CAPACITY)
    pins = _pins(sale)
    with goes_red("brings the seats back"):
        _second_does_the_work(sale, start, pins, ("settle", ONCE, ONCE.replace("- r", "- 2 * r")))


def test_three_sweepers_killed_and_paused_at_random_credit_each_seat_once(shop: Wiring, start: Start) -> None:
    seed = int(os.environ.get("SEED") or time.time())
    print(f"SEED={seed}")
    chance = random.Random(seed)
    sale = open_sale(shop, Clock(), 2000, hold_seconds=1, max_per_user=1000)
    workers = [start() for _ in range(3)]
    fates = Counter[str]()
    ends = time.monotonic() + STORM_SECONDS

    def buyer(number: int) -> list[tuple[str, str]]:
        """What became of each reservation, as far as its buyer had a hand in it."""
        mine, chance = [], random.Random(seed + number)
        while time.monotonic() < ends:
            booking = sale.reserve(f"user-{number}", chance.randint(1, 3)).booking
            fate = chance.choice(["left", "left", "pinned", "committed"])
            if fate != "left":
                pin = shop.reservations.confirm(booking.booking_id, booking.user_id, "card")
                if fate == "committed":
                    (decision,) = shop.ledger.confirm_bookings([pin])
                    assert decision.outcome == "CONFIRMED"
            mine.append((booking.booking_id, fate))
            time.sleep(chance.random() / 10)
        return mine

    with ThreadPoolExecutor(6) as pool:
        buyers = [pool.submit(buyer, n) for n in range(6)]
        while time.monotonic() < ends:
            time.sleep(chance.random())
            worker, fate = chance.choice(workers), chance.choice(["killed", "paused"])
            fates[fate] += 1
            if fate == "killed":
                worker.kill()
                worker.start()
            else:
                worker.pause()
                time.sleep(chance.random())
                worker.resume()
        bookings = dict(one for buyer in buyers for one in buyer.result())
    until(lambda: sale.seats().held == 0, 20, "all that was left is given back")
    time.sleep(1.5)  # for whoever would do it again
    _all_ended_once(sale, bookings)
    print(f"{dict(fates)}, {len(bookings)} reservations: {dict(Counter(bookings.values()))}")


def _all_ended_once(sale: Sale, bookings: dict[str, str]) -> None:
    shard = shard_of_event(sale.event_id, len(sale.shop.shards))
    told: Counter[str] = Counter()
    for entry in sale.shop.outbox.read(shard, 100_000):
        if entry["kind"] == "expired":
            told[entry["booking_id"]] += 1
    assert told == {booking: 1 for booking, fate in bookings.items() if fate == "left"}
    found = sale.rows(
        "SELECT b.booking_id::text, b.status, b.quantity, array_agg(h.status ORDER BY h.version) "
        "FROM booking.bookings AS b JOIN booking.booking_history AS h USING (booking_id) WHERE b.event_id = %s "
        "GROUP BY b.booking_id",
        sale.event_id,
    )
    ends = {"pinned": "expired", "committed": "confirmed"}
    assert {booking: (status, steps) for booking, status, _, steps in found} == {
        booking: (ends[fate], ["reserved", ends[fate]]) for booking, fate in bookings.items() if fate != "left"
    }
    sold = sum(quantity for _, status, quantity, _ in found if status == "confirmed")
    seats = sale.seats()
    assert (seats.confirmed, seats.held, seats.available) == (sold, 0, 2000 - sold)
    assert sale.shop.audit(shard) == ""
