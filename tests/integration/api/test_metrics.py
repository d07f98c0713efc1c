"""/metrics of several gunicorn workers while workers are killed and replaced: what was counted stays counted."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dev.gunicorn import Gunicorn
from dev.redis import Redis
from tests.support.buyers import until
from tests.support.controls import goes_red
from tests.support.web import Visitors, client_of, open_event, order, serving

Series = tuple[str, frozenset[tuple[str, str]]]
Figures = dict[Series, float]
GAUGES = ("holdfast_requests_in_flight", "holdfast_breaker_open")


@pytest.fixture
def measurements(tmp_path: Path) -> Path:
    """Where the workers add up."""
    return tmp_path


@pytest.fixture
def server(session_directory: Path, database: str, own_redis: Redis, measurements: Path) -> Iterator[Gunicorn]:
    with serving(
        session_directory / "web-of-metrics",
        DATABASE_URL=database,
        REDIS_URL=own_redis.url,
        WEB_CONCURRENCY="2",
        PROMETHEUS_MULTIPROC_DIR=str(measurements),
    ) as server:
        yield server


def told(client: httpx.Client) -> Figures:
    text = client.get("/metrics").raise_for_status().text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


def total(figures: Figures, name: str, **labels: str) -> float:
    return sum(value for (of, known), value in figures.items() if of == name and labels.items() <= set(known))


@contextmanager
def looking(server: Gunicorn) -> Iterator[list[Figures]]:
    """Looks again and again while the block lasts; a worker that is killed may take a look with it."""
    looks: list[Figures] = []
    stop = threading.Event()

    def look() -> None:
        with client_of(server) as client:
            while not stop.wait(0.05):
                with contextlib.suppress(httpx.TransportError):
                    looks.append(told(client))

    with ThreadPoolExecutor(1) as pool:
        looker = pool.submit(look)
        try:
            yield looks
        finally:
            stop.set()
        looker.result()


def never_go_backwards(looks: list[Figures]) -> None:
    for before, now in pairwise(looks):
        for series, value in before.items():
            if not series[0].startswith(GAUGES):
                assert now.get(series, 0) >= value, f"{series[0]} went backwards, from {value} to {now.get(series)}"


def look_again(looks: list[Figures]) -> None:
    enough = len(looks) + 5
    until(lambda: len(looks) >= enough, 20, "looked at")


def kill_one(server: Gunicorn) -> int:
    """Its pid, once it has a successor."""
    victim = server.worker_pids()[0]
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(server.worker_pids()) == 2 and victim not in server.worker_pids(), 20, "it was replaced")
    return victim


def ask(client: httpx.Client, event_id: str) -> int:
    return client.post("/bookings/reserve", json=order(event_id)).status_code


def test_counters_survive_the_workers_that_counted(server: Gunicorn) -> None:
    with client_of(server) as client:
        event_id = open_event(client)
    with looking(server) as looks, Visitors(server, lambda client: ask(client, event_id), rate=100) as visitors:
        for _ in range(2):
            look_again(looks)
            kill_one(server)
            look_again(looks)
    never_go_backwards(looks)
    answered = sum(count for status, count in visitors.outcomes.items() if isinstance(status, int))
    lost = visitors.outcomes.total() - answered
    print(f"{len(looks)} looks; {answered} answered, {lost} cut off by the kills: {dict(visitors.outcomes)}")
    with client_of(server) as client:
        figures = told(client)
    counted = total(figures, "holdfast_requests_total", route="/api/v1/bookings/reserve")
    assert answered <= counted <= answered + lost
    assert total(figures, "holdfast_requests_in_flight") == 1, "only the one that asks"


def test_a_server_that_drops_the_figures_of_the_dead_is_seen(server: Gunicorn, measurements: Path) -> None:
    with client_of(server) as client:
        event_id = open_event(client)
    with looking(server) as looks, Visitors(server, lambda client: ask(client, event_id), rate=100):
        look_again(looks)
        victim = kill_one(server)
        for file in measurements.glob(f"*_{victim}.db"):
            file.unlink()
        look_again(looks)
    with goes_red("went backwards"):
        never_go_backwards(looks)
