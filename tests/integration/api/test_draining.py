"""A server that ends, or is replaced under load, loses no request."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from dev.gunicorn import Gunicorn
from dev.redis import Redis
from tests.support.buyers import until
from tests.support.web import Visitors, client_of, open_event, order, serving

IN_FLIGHT = 10


@pytest.fixture
def server(session_directory: Path, database: str, own_redis: Redis) -> Iterator[Gunicorn]:
    with serving(
        session_directory / "web-of-draining",
        DATABASE_URL=database,
        REDIS_URL=own_redis.url,
        REDIS_TIMEOUT_MS="10000",
        DRAIN_SECONDS="2",
        WEB_CONCURRENCY="2",
    ) as server:
        yield server


@pytest.fixture
def web(server: Gunicorn) -> Iterator[httpx.Client]:
    with client_of(server) as client:
        yield client


def tell(pid: int | None, number: signal.Signals) -> None:
    assert pid is not None
    os.kill(pid, number)


def status_of_a_new_connection(server: Gunicorn, path: str) -> int | str:
    try:
        return httpx.get(f"{server.base_url}{path}", trust_env=False, timeout=5).status_code
    except httpx.ConnectError:
        return "refused"


def wait_until_each_worker_sells(server: Gunicorn, event_id: str) -> None:
    """One of them has rebuilt the shards; the other learns of it within a second."""

    def sells(_: int) -> bool:
        with client_of(server) as client:
            return client.post("/bookings/reserve", json=order(event_id)).status_code == 201

    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        until(lambda: all(pool.map(sells, range(2 * IN_FLIGHT))), 10, "each worker sells")


def reserve_while_redis_hangs(pool: ThreadPoolExecutor, web: httpx.Client, event_id: str) -> list[Any]:
    """Requests that are certainly in flight when this returns."""
    held = [pool.submit(web.post, "/bookings/reserve", json=order(event_id)) for _ in range(IN_FLIGHT)]
    time.sleep(0.5)
    assert not any(request.done() for request in held)
    return held


def test_sigterm_turns_readyz_503_first_and_finishes_what_is_in_flight(
    server: Gunicorn, web: httpx.Client, own_redis: Redis
) -> None:
    event_id = open_event(web)
    wait_until_each_worker_sells(server, event_id)
    own_redis.pause()
    try:
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            held = reserve_while_redis_hangs(pool, web, event_id)
            tell(server.pid, signal.SIGTERM)
            since = time.monotonic()
            until(lambda: status_of_a_new_connection(server, "/readyz") == 503, 1, "a balancer is told")
            assert status_of_a_new_connection(server, "/livez") == 200
            until(lambda: status_of_a_new_connection(server, "/livez") == "refused", 10, "it listens no more")
            assert time.monotonic() - since > 1.9, "but it did for DRAIN_SECONDS"
            assert not any(request.done() for request in held)
            own_redis.resume()
            assert [request.result().status_code for request in held] == [201] * IN_FLIGHT
    finally:
        own_redis.resume()
    until(lambda: not server.running, 3, "it has ended by itself")


def test_a_connection_that_is_kept_is_told_to_close_while_it_can_still_ask(server: Gunicorn, web: httpx.Client) -> None:
    assert web.get("/livez").headers["Connection"] == "keep-alive"
    tell(server.pid, signal.SIGTERM)
    time.sleep(0.5)
    answer = web.get("/livez")
    assert (answer.status_code, answer.headers["Connection"]) == (200, "close")


def test_an_idle_connection_does_not_keep_a_server_from_ending(server: Gunicorn, web: httpx.Client) -> None:
    assert web.get("/livez").status_code == 200
    since = time.monotonic()
    tell(server.pid, signal.SIGTERM)
    until(lambda: not server.running, 6, "it has ended")
    assert time.monotonic() - since < 5


def test_what_is_killed_loses_what_is_in_flight(server: Gunicorn, web: httpx.Client, own_redis: Redis) -> None:
    """The control: these tests can tell a request that was lost."""
    event_id = open_event(web)
    wait_until_each_worker_sells(server, event_id)
    own_redis.pause()
    try:
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            held = reserve_while_redis_hangs(pool, web, event_id)
            server.kill()
            assert all(isinstance(request.exception(), httpx.TransportError) for request in held)
    finally:
        own_redis.resume()


def reload(server: Gunicorn) -> None:
    """SIGHUP: new workers under the same master."""
    before = set(server.worker_pids())
    tell(server.pid, signal.SIGHUP)
    until(lambda: len(server.worker_pids()) == 2 and not before & set(server.worker_pids()), 20, "only new workers")


def replace(server: Gunicorn) -> None:
    """SIGUSR2 and SIGTERM: a new master on the same socket, then the end of the old one."""
    old = psutil.Process(server.pid)
    old.send_signal(signal.SIGUSR2)

    def takes_over() -> list[psutil.Process]:
        masters = [child for child in old.children() if child.children()]
        return masters if masters and len(masters[0].children()) == 2 else []

    (new,) = until(takes_over, 20, "a new master with two workers")
    time.sleep(3)  # as an operator does: the new workers have started
    old.send_signal(signal.SIGTERM)
    until(lambda: not server.running, 20, "the old master has ended")
    assert new.is_running()


@pytest.mark.parametrize("restart", [reload, replace])
def test_a_rolling_restart_under_two_hundred_requests_a_second_loses_none(
    server: Gunicorn, web: httpx.Client, restart: Any
) -> None:
    event_id = open_event(web)

    def ask(client: httpx.Client) -> int:
        return client.post("/bookings/reserve", json=order(event_id)).status_code

    with Visitors(server, ask) as visitors:
        time.sleep(1)
        restart(server)
        assert status_of_a_new_connection(server, "/readyz") == 200, "the server as a whole was always there"
        time.sleep(1)
    print(f"{restart.__name__}: {dict(visitors.outcomes)}")
    assert visitors.outcomes.keys() == {201}
    assert visitors.outcomes[201] > 600
    assert web.get(f"/events/{event_id}/zones/A").json()["held"] == visitors.outcomes[201]
