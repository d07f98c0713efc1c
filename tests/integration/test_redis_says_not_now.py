"""Redis answers, and says "not now": it loads, is full, is a replica, is busy, has forgotten its scripts. Each is 503
with nothing done, never a bug of ours, and passes by itself. Real servers in that very state."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from app.domain.ids import shard_of_event
from app.domain.model import Seats, Zone
from app.wiring import Wiring
from dev.redis import Redis
from tests.support import forgetful, servers
from tests.support.seats import HOLD_SECONDS, PRICE_MINOR, Clock, Sale, open_sale, open_shop, reopen


@pytest.fixture(scope="module")
def server(session_directory: Path) -> Iterator[Redis]:
    with servers.started(Redis(session_directory / "redis-not-now", {"busy-reply-threshold": "50"})) as server:
        yield server


@pytest.fixture(scope="module")
def shop(database: str, server: Redis) -> Iterator[Wiring]:
    wiring = open_shop(database, server.url, Clock())
    yield wiring
    wiring.close()


@pytest.fixture
def sale(shop: Wiring) -> Sale:
    """Ten seats. The process is the same for all tests: what Redis said is over, or a test fails."""
    assert isinstance(shop.now, Clock)
    return open_sale(shop, shop.now, hold_seconds_max=HOLD_SECONDS * 2, max_per_user=10)


@pytest.fixture
def admin(server: Redis) -> Iterator["redis.Redis[Any]"]:
    with redis.Redis.from_url(server.url) as client:
        yield client


def _shard(sale: Sale) -> int:
    return shard_of_event(sale.event_id, len(sale.shop.shards))


def _all_verbs(sale: Sale, booking_id: str) -> list[Callable[[], object]]:
    shop = sale.shop
    return [
        sale.reserve,
        lambda: shop.extend("ann", booking_id, None),
        lambda: shop.release("ann", booking_id),
        lambda: shop.confirm("ann", booking_id, None),
        lambda: shop.expire(_shard(sale)),
        lambda: shop.rebuild()(_shard(sale)),
    ]


def test_a_redis_that_has_forgotten_its_scripts_is_told_them_again(sale: Sale, admin: "redis.Redis[Any]") -> None:
    booking_id = sale.reserve("ann", 2).booking.booking_id
    admin.script_flush()
    sale.shop.confirm("ann", booking_id, None)
    admin.script_flush()
    assert sale.seats() == Seats(capacity=10, confirmed=2, held=0, available=8)


def test_a_read_only_redis_is_503_for_all_that_writes(sale: Sale, admin: "redis.Redis[Any]") -> None:
    booking_id = sale.reserve("ann", 2).booking.booking_id
    admin.replicaof("127.0.0.1", "1")  # nobody is there: it keeps what it has
    for verb in _all_verbs(sale, booking_id)[:-1]:
        assert "ReadOnlyError" in sale.refused("SERVICE_UNAVAILABLE", verb).detail
    admin.replicaof("NO", "ONE")
    assert sale.shop.release("ann", booking_id).status == "released"
    assert sale.seats().available == 10


def test_a_busy_redis_is_503_and_goes_on_when_it_is_done(sale: Sale, admin: "redis.Redis[Any]") -> None:
    booking_id = sale.reserve("ann", 2).booking.booking_id
    busy = threading.Thread(target=_run_for_ever, args=(admin,))
    busy.start()
    time.sleep(0.2)
    for verb in _all_verbs(sale, booking_id):
        assert sale.refused("SERVICE_UNAVAILABLE", verb).detail
    with redis.Redis.from_url(sale.shop.settings.redis_url) as other:
        other.script_kill()
    busy.join(10)
    assert not busy.is_alive()
    assert sale.shop.release("ann", booking_id).status == "released"


def _run_for_ever(client: "redis.Redis[Any]") -> None:
    with pytest.raises(redis.ResponseError, match=r"[Kk]illed"):
        client.eval("while true do end", 0)


def test_a_full_redis_promises_nothing_and_what_ends_reservations_or_rebuilds_still_works(
    sale: Sale, admin: "redis.Redis[Any]"
) -> None:
    """Only what takes memory for a new promise is refused: a full Redis can be emptied, and filled anew."""
    shop, shard = sale.shop, _shard(sale)
    due = sale.reserve("cid").booking.booking_id
    sale.clock.advance(HOLD_SECONDS / 2)
    released, confirmed, extended = (sale.reserve("ann").booking.booking_id for _ in range(3))
    cancelled = sale.reserve("bob").booking.booking_id
    shop.confirm("bob", cancelled, None)
    admin.config_set("maxmemory", "1mb")
    try:
        assert "OutOfMemoryError" in sale.refused("SERVICE_UNAVAILABLE", sale.reserve, "dan").detail
        assert shop.release("ann", released).status == "released"
        assert shop.confirm("ann", confirmed, None).status == "confirmed"
        assert shop.extend("ann", extended, None).booking.status == "reserved"
        assert shop.cancel("bob", cancelled, None).status == "cancelled"
        sale.clock.advance(HOLD_SECONDS / 2)
        assert shop.expire(shard).expired == 1
        assert shop.get("cid", due).status == "expired"
        assert sale.seats() == Seats(capacity=10, confirmed=1, held=1, available=8)
        shop.open_zone(
            Zone(event_id=sale.event_id, zone_id="A", name="A", capacity=5, price_minor=PRICE_MINOR, currency="THB")
        )
        sale.record()
        shop.close_shard(shard)
        reopen(shop)
        assert sale.seats() == Seats(capacity=5, confirmed=1, held=1, available=3)
        sale.refused("SERVICE_UNAVAILABLE", sale.reserve, "dan")
    finally:
        admin.config_set("maxmemory", "0")
    sale.reserve("dan", 3)


def test_a_redis_that_is_loading_its_file_is_503_until_it_has(
    sale: Sale, server: Redis, admin: "redis.Redis[Any]"
) -> None:
    """For a minute, if nobody ended it before: 3,000 keys at twenty milliseconds each."""
    booking_id = sale.reserve("ann", 2).booking.booking_id
    with admin.pipeline() as pipe:
        for n in range(3000):
            pipe.set(f"ballast:{n}", "x" * 1000)
        pipe.execute()
    forgetful.rewrite_file(server)
    server.stop()
    slow = Redis(server.directory, {"key-load-delay": "20000", "loading-process-events-interval-bytes": "1024"})
    slow.start()
    forgetful.wait(lambda: _is_loading(slow))
    for verb in _all_verbs(sale, booking_id)[::2]:  # each waits for an answer
        assert sale.refused("SERVICE_UNAVAILABLE", verb).detail
    assert _is_loading(slow), "it was over too early to tell"
    slow.kill()
    server.start()
    server.wait_until_ready()
    reopen(sale.shop)
    assert sale.shop.get("ann", booking_id).status == "reserved"
    sale.reserve("bob", 8)


def _is_loading(server: Redis) -> bool:
    """Asked in one line: a client's greetings would be answered one by one, and slowly."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), timeout=2) as line:
        line.sendall(b"PING\r\n")
        return line.recv(100).startswith(b"-LOADING")
    return False
