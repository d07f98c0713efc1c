"""A process that is full says so at once. It is filled by a Redis that does not answer (SIGSTOP)."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from dev.gunicorn import Gunicorn
from dev.redis import Redis
from tests.support.buyers import until
from tests.support.web import client_of, open_event, order, serving

LIMIT = 8


@pytest.fixture(scope="module")
def server(session_directory: Path, database: str, own_redis: Redis) -> Iterator[Gunicorn]:
    with serving(
        session_directory / "web-of-overload",
        DATABASE_URL=database,
        REDIS_URL=own_redis.url,
        REDIS_TIMEOUT_MS="5000",
        MAX_IN_FLIGHT=str(LIMIT),
        RETRY_AFTER_SECONDS="2",
        WEB_CONCURRENCY="1",
    ) as server:
        yield server


@pytest.fixture
def web(server: Gunicorn) -> Iterator[httpx.Client]:
    with client_of(server) as client:
        yield client


def in_flight(web: httpx.Client) -> float:
    lines = web.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith("holdfast_requests_in_flight ")).split()[1])


def test_past_the_limit_it_is_503_at_once_and_what_is_in_flight_is_still_answered(
    web: httpx.Client, own_redis: Redis
) -> None:
    event_id = open_event(web)
    own_redis.pause()
    try:
        with ThreadPoolExecutor(LIMIT) as pool:
            held = [pool.submit(web.post, "/bookings/reserve", json=order(event_id)) for _ in range(LIMIT)]
            until(lambda: in_flight(web) == LIMIT + 1, 3, "the process is full, and answers for its metrics besides")
            since = time.monotonic()
            shed = [web.post("/bookings/reserve", json=order(event_id)) for _ in range(20)]
            seconds = time.monotonic() - since
            assert web.get("/livez").status_code == 200
            assert not any(request.done() for request in held)
            own_redis.resume()
            assert [request.result().status_code for request in held] == [201] * LIMIT
    finally:
        own_redis.resume()
    assert seconds < 1, "twenty of them, in less than one of our waits"
    for answer in shed:
        assert (answer.status_code, answer.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Retry-After"] == "2"
    assert in_flight(web) == 1
    assert "holdfast_requests_shed_total 20.0" in web.get("/metrics").text
    assert web.get(f"/events/{event_id}/zones/A").json()["held"] == LIMIT


def test_readiness_is_judged_by_its_own_question_even_when_the_process_is_full(
    web: httpx.Client, own_redis: Redis
) -> None:
    event_id = open_event(web)
    own_redis.pause()
    try:
        with ThreadPoolExecutor(LIMIT + 1) as pool:
            held = [pool.submit(web.post, "/bookings/reserve", json=order(event_id)) for _ in range(LIMIT)]
            until(lambda: in_flight(web) == LIMIT + 1, 3, "the process is full")
            ready = pool.submit(web.get, "/readyz")
            until(lambda: in_flight(web) == LIMIT + 2, 3, "readyz was let in, and asks Redis")
            own_redis.resume()
            assert ready.result().status_code == 200
            assert {request.result().status_code for request in held} == {201}
    finally:
        own_redis.resume()
