"""limit.lua on a real Redis: exactly the burst at once, then the even rate, and nothing left behind."""

import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from app.domain.limits import Allowance, Rate
from app.stores.breaker import Breaker
from app.stores.limits import RedisLimits
from app.stores.lua import Redis as Runner
from dev.redis import Redis

RATE = Rate(per_minute=60, burst=5)
SECOND_US = 1_000_000
_numbers = itertools.count(1)


@pytest.fixture
def client() -> str:
    return f"user {next(_numbers)} of {time.time_ns()}"


@pytest.fixture
def runner(redis_server: Redis) -> Iterator[Runner]:
    runner = Runner(redis_server.url, pool_size=16, timeout_s=0.3, breaker=Breaker("Redis", 0, 1))
    yield runner
    runner.close()


def admitted(allowance: Allowance | None) -> bool:
    assert allowance is not None
    return allowance.retry_in_seconds is None


@pytest.fixture
def at(runner: Runner, client: str) -> Callable[[float], Allowance | None]:
    """One more request of the client, so many seconds after its first."""
    start = time.time_ns() // 1000
    now = [start]
    limits = RedisLimits(runner, RATE, now_us=lambda: now[0])

    def ask(seconds: float) -> Allowance | None:
        now[0] = start + round(seconds * SECOND_US)
        return limits.ask(client)

    return ask


def test_the_burst_is_admitted_at_once_and_told_and_the_next_is_refused(at: Callable[..., Allowance]) -> None:
    assert [at(0) for _ in range(5)] == [Allowance(4 - n, n + 1) for n in range(5)]
    assert at(0) == Allowance(0, 5, retry_in_seconds=1)


def test_one_comes_back_after_each_sixtieth_of_a_minute_and_no_more_than_the_burst(
    at: Callable[..., Allowance],
) -> None:
    for _ in range(5):
        at(0)
    assert not admitted(at(0.9))
    assert admitted(at(1.0))
    assert not admitted(at(1.0))
    assert [admitted(at(3600)) for _ in range(6)] == [True] * 5 + [False]


def test_what_is_refused_costs_nothing(at: Callable[..., Allowance]) -> None:
    for _ in range(5):
        at(0)
    for _ in range(100):
        assert not admitted(at(0.5))
    assert admitted(at(1))


def test_who_waits_as_long_as_told_is_admitted(runner: Runner, client: str) -> None:
    limits = RedisLimits(runner, Rate(per_minute=60, burst=1))
    assert admitted(limits.ask(client))
    refused = limits.ask(client)
    assert refused is not None
    assert refused.retry_in_seconds is not None
    time.sleep(refused.retry_in_seconds)
    assert admitted(limits.ask(client))


def test_a_hundred_at_once_get_exactly_the_burst_whichever_process_they_ask(redis_server: Redis, client: str) -> None:
    runners = [Runner(redis_server.url, pool_size=16, timeout_s=2, breaker=Breaker("Redis", 0, 1)) for _ in range(3)]
    slow = Rate(per_minute=1, burst=20)
    processes = [RedisLimits(runner, slow) for runner in runners]
    with ThreadPoolExecutor(30) as pool:
        outcomes = Counter(pool.map(lambda n: admitted(processes[n % 3].ask(client)), range(100)))
    assert outcomes == {True: 20, False: 80}
    for runner in runners:
        runner.close()


def test_clients_do_not_share(runner: Runner, client: str) -> None:
    limits = RedisLimits(runner, Rate(per_minute=1, burst=1))
    assert admitted(limits.ask(client))
    assert not admitted(limits.ask(client))
    assert admitted(limits.ask(f"{client}'s neighbour"))


def test_nothing_is_kept_longer_than_the_bucket_takes_to_fill_nor_anybodys_name(
    runner: Runner, redis_server: Redis, client: str
) -> None:
    asked = redis.Redis.from_url(redis_server.url, decode_responses=True)
    before = set(asked.keys("*:limit"))
    RedisLimits(runner, RATE).ask(client)
    (key,) = set(asked.keys("*:limit")) - before
    assert key.startswith("{")
    assert "user" not in key
    assert 0 < asked.pttl(key) <= 1000
    assert asked.exists(key)


def test_with_redis_away_everybody_is_admitted_with_one_line_and_one_wait(
    runner: Runner, redis_server: Redis, client: str, caplog: pytest.LogCaptureFixture
) -> None:
    limits = RedisLimits(runner, RATE)
    assert admitted(limits.ask(client))
    redis_server.pause()
    try:
        since = time.monotonic()
        with caplog.at_level(logging.WARNING, logger="app.stores.limits"):
            assert [limits.ask(client) for _ in range(50)] == [None] * 50
        assert time.monotonic() - since < 0.9
    finally:
        redis_server.resume()
    assert [record.message.split(":")[0] for record in caplog.records] == ["requests are not limited for 1 s"]
    time.sleep(1.1)
    assert admitted(limits.ask(client))
