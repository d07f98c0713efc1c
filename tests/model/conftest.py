"""One database and one Redis for all schedules of a module; Postgres' functions go by the schedule's clock."""

from collections.abc import Iterator

import pytest

from dev.redis import Redis
from tests.model.real_stores import Servers
from tests.model.switches import load_with_the_clock


@pytest.fixture(scope="module")
def servers(database: str, redis_server: Redis) -> Iterator[Servers]:
    load_with_the_clock(database)
    servers = Servers(database, redis_server.url)
    yield servers
    servers.close()
