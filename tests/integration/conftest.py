"""Shops on real Redis and Postgres."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
import redis

from app.wiring import Wiring
from dev.redis import Redis
from tests.support.seats import Clock, Sale, open_sale, open_shop


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def shop(database: str, redis_server: Redis, clock: Clock) -> Iterator[Wiring]:
    redis.Redis.from_url(redis_server.url).flushall()
    wiring = open_shop(database, redis_server.url, clock)
    yield wiring
    wiring.close()


@pytest.fixture
def open_event(shop: Wiring, clock: Clock) -> Callable[..., Sale]:
    """Opens a fresh event: `open_event(capacity=2, max_per_user=3)`."""
    return lambda **terms: open_sale(shop, clock, **terms)


@pytest.fixture
def sale(open_event: Callable[..., Sale]) -> Sale:
    """A fresh event with ten seats."""
    return open_event()


@pytest.fixture
def older(database: str) -> Callable[[], None]:
    """Makes every zone older than those that may still be on their way to Redis."""

    def make_older() -> None:
        with psycopg.connect(database, autocommit=True) as owner:
            owner.execute("UPDATE booking.zones SET created_at = created_at - interval '11 s'")

    return make_older
