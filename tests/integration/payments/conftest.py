"""A shop with a payment provider: a real one, in a process of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from app.wiring import Wiring
from dev.provider import Provider
from dev.redis import Redis
from tests.support import servers
from tests.support.seats import Clock, open_shop


@pytest.fixture(scope="module")
def provider(session_directory: Path) -> Iterator[Provider]:
    with servers.started(
        Provider(session_directory / "provider", {"PROVIDER_KNOWN_AFTER_S": "1", "PROVIDER_HANGS_S": "2"})
    ) as server:
        yield server


@pytest.fixture(scope="module")
def shop(database: str, redis_server: Redis, clock: Clock, provider: Provider) -> Iterator[Wiring]:
    redis.Redis.from_url(redis_server.url).flushall()
    wiring = open_shop(
        database, redis_server.url, clock, payments="http", payments_url=provider.url, payment_timeout_ms=300
    )
    yield wiring
    wiring.close()
