"""A Redis that hangs, under load, in a real gunicorn: answers stay cheap, and what it does late does no harm."""

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from app.domain.errors import Refusal
from app.stores.breaker import Breaker
from app.stores.lua import Redis as Runner
from dev.gunicorn import Gunicorn
from dev.redis import Redis
from tests.support.controls import goes_red
from tests.support.web import client_of, open_event, order, serving

RESERVE = "/bookings/reserve"


@pytest.fixture
def hanging(own_redis: Redis) -> Iterator[Redis]:
    """Resumed at the end, if the test has not."""
    yield own_redis
    own_redis.resume()


def _serving(directory: Path, database: str, own_redis: Redis, **settings: str) -> Iterator[Gunicorn]:
    with serving(directory, DATABASE_URL=database, REDIS_URL=own_redis.url, WEB_CONCURRENCY="1", **settings) as server:
        yield server


@pytest.fixture(scope="module")
def server(session_directory: Path, database: str, own_redis: Redis) -> Iterator[Gunicorn]:
    yield from _serving(session_directory / "web-with-breaker", database, own_redis, PIN_LIMIT_SECONDS="1")


@pytest.fixture(scope="module")
def without(session_directory: Path, database: str, own_redis: Redis) -> Iterator[Gunicorn]:
    yield from _serving(session_directory / "web-without-breaker", database, own_redis, BREAKER_FAILURES="0")


def _sells(client: httpx.Client, event_id: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while client.post(RESERVE, json=order(event_id)).status_code != 201:
        assert time.monotonic() < deadline, "does not sell again"
        time.sleep(0.02)


def _ask_a_silent_redis(server: Gunicorn, redis: Redis) -> list[float]:
    """Seconds of each of 100 reserves, 50 a second, while Redis hangs. Each is a 503 within a second, then it sells."""
    with client_of(server) as client:
        event_id = open_event(client)
        _sells(client, event_id)
        redis.pause()

        def ask(number: int) -> float:
            time.sleep(number / 50)
            since = time.monotonic()
            answer = client.post(RESERVE, json=order(event_id))
            assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "1")
            return time.monotonic() - since

        with ThreadPoolExecutor(100) as pool:
            seconds = sorted(pool.map(ask, range(100)))
        redis.resume()
        since = time.monotonic()
        _sells(client, event_id)
        print(f"median {statistics.median(seconds) * 1000:.0f} ms, most {seconds[-1] * 1000:.0f} ms, "
              f"sells again after {time.monotonic() - since:.2f} s")  # fmt: skip
    return seconds


def _are_cheap(seconds: list[float]) -> None:
    assert seconds[-1] < 1.2, f"somebody waited for {seconds[-1]:.2f} s"
    assert statistics.median(seconds) < 0.1, f"the median waited for {statistics.median(seconds):.2f} s"


def test_while_redis_hangs_answers_come_at_once(server: Gunicorn, hanging: Redis) -> None:
    _are_cheap(_ask_a_silent_redis(server, hanging))
    with client_of(server) as client:
        told = client.get("/metrics").text
    assert 'holdfast_breaker_changes_total{server="redis",to="open"} 1.0' in told
    assert 'holdfast_breaker_open{server="redis"} 0.0' in told


def test_without_a_breaker_everybody_waits_for_the_timeout(without: Gunicorn, hanging: Redis) -> None:
    seconds = _ask_a_silent_redis(without, hanging)
    with goes_red("the median waited for"):
        _are_cheap(seconds)


def test_a_server_that_hangs_is_not_called_alive_for_what_it_said_before(hanging: Redis) -> None:
    """What asks who it is closes no breaker, and makes no process ready, without an answer of now."""
    breaker = Breaker("Redis", failures=1, probe_every_s=0)
    runner = Runner(hanging.url, pool_size=1, timeout_s=0.2, breaker=breaker)
    run_id = runner.run_id()
    hanging.pause()
    for _ in range(3):
        with pytest.raises(Refusal):
            runner.run_id()
        assert breaker.is_open
    hanging.resume()
    assert runner.run_id() == run_id
    assert not breaker.is_open
    runner.close()


def test_what_redis_does_after_it_hung_is_found_by_the_retry(server: Gunicorn, hanging: Redis) -> None:
    with client_of(server) as client:
        event_id = open_event(client)
        _sells(client, event_id)
        kept = client.post(RESERVE, json=order(event_id)).json()["booking_id"]
        given_back = client.post(RESERVE, json=order(event_id)).json()["booking_id"]
        hanging.pause()
        # Each is on its way to Redis when it gives up; Redis finds them in its socket when it goes on.
        key = {"Idempotency-Key": "late"}
        late = [
            client.post(RESERVE, json=order(event_id), headers=key),
            client.delete(f"/bookings/{given_back}"),
            client.post(f"/bookings/{kept}/confirm"),
        ]
        assert [answer.status_code for answer in late] == [503] * 3
        hanging.resume()
        _sells(client, event_id)
        replayed = client.post(RESERVE, json=order(event_id), headers=key)
        assert (replayed.status_code, replayed.headers.get("Idempotency-Replayed")) == (201, "true")
        again = client.delete(f"/bookings/{given_back}")
        assert (again.status_code, again.json().get("reason")) in ((200, None), (404, "released"))
        assert client.post(f"/bookings/{kept}/confirm").status_code == 200
        zone = client.get(f"/events/{event_id}/zones/A").json()
        assert (zone["held"], zone["confirmed"]) == (3, 1)  # two of _sells, the late one, and the confirmed
