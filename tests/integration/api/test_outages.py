"""What clients of a real gunicorn see while a server is away, and that it passes by itself, with no worker running.

In gunicorn, because it is there that a server which does not answer is given up in time.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.gunicorn import Gunicorn
from dev.postgres import Postgres
from dev.redis import Redis
from tests.integration.api.conftest import ADMIN_TOKEN
from tests.support import servers

ZONE = {"capacity": 10, "price_minor": 15_000, "currency": "THB"}


@pytest.fixture(scope="module")
def web(session_directory: Path, database: str, own_redis: Redis) -> Iterator[httpx.Client]:
    environment = servers.environment(
        DATABASE_URL=database, REDIS_URL=own_redis.url, AUTH_MODE="gateway", ADMIN_TOKEN=ADMIN_TOKEN, SHARDS="16"
    )
    server = Gunicorn(session_directory / "web-of-outages", environment)
    server.start()
    headers = {"X-User-ID": "ann", "Authorization": f"Bearer {ADMIN_TOKEN}"}
    with httpx.Client(base_url=f"{server.base_url}/api/v1", headers=headers, timeout=10) as client:
        until(client, "GET", "/livez", 200)
        yield client
    server.stop()


@pytest.fixture
def event_id(web: httpx.Client, request: pytest.FixtureRequest) -> str:
    name = str(request.node.name).removeprefix("test_")[:40]
    until(web, "PUT", f"/admin/events/{name}", 201, {"name": "Outages"})
    until(web, "PUT", f"/admin/events/{name}/zones/A", 201, ZONE)
    return name


def until(client: httpx.Client, method: str, path: str, status: int, body: Any = None, seconds: float = 15) -> Any:
    """Asks until the answer has `status`; answers its body."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = client.request(method, path, json=body)
            if answer.status_code == status:
                return answer.json()
            last = answer.text
        except httpx.TransportError as error:  # gunicorn does not listen yet
            last = str(error)
        assert time.monotonic() < deadline, last
        time.sleep(0.05)


def order(event_id: str) -> dict[str, Any]:
    return {"event_id": event_id, "zone_id": "A", "quantity": 1}


def unavailable(web: httpx.Client, method: str, path: str, body: Any = None, within_seconds: float = 1.5) -> None:
    since = time.monotonic()
    answer = web.request(method, path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert answer.headers["Retry-After"] == "1"
    assert time.monotonic() - since < within_seconds


def test_redis_away_is_503_and_it_sells_again_by_itself(web: httpx.Client, event_id: str, own_redis: Redis) -> None:
    kept = until(web, "POST", "/bookings/reserve", 201, order(event_id))["booking_id"]
    assert web.post(f"/bookings/{kept}/confirm").status_code == 200
    own_redis.kill()
    unavailable(web, "POST", "/bookings/reserve", order(event_id))
    unavailable(web, "GET", "/readyz")
    assert web.get("/livez").status_code == 200
    assert web.get(f"/bookings/{kept}").json()["status"] == "confirmed"
    own_redis.start()
    own_redis.wait_until_ready()
    until(web, "POST", "/bookings/reserve", 201, order(event_id))
    zone = web.get(f"/events/{event_id}/zones/A").json()
    assert (zone["available"], zone["held"], zone["confirmed"]) == (8, 1, 1)


def test_redis_that_hangs_is_503_as_well(web: httpx.Client, event_id: str, own_redis: Redis) -> None:
    until(web, "POST", "/bookings/reserve", 201, order(event_id))
    own_redis.pause()
    try:
        unavailable(web, "POST", "/bookings/reserve", order(event_id))
        unavailable(web, "GET", "/readyz")
        assert web.get("/livez").status_code == 200
    finally:
        own_redis.resume()
    until(web, "POST", "/bookings/reserve", 201, order(event_id))


def test_postgres_that_hangs_is_503_for_confirm_while_reserve_goes_on(
    web: httpx.Client, event_id: str, postgres: Postgres
) -> None:
    booking_id = until(web, "POST", "/bookings/reserve", 201, order(event_id))["booking_id"]
    postgres.pause()
    try:
        assert web.post("/bookings/reserve", json=order(event_id)).status_code == 201
        unavailable(web, "POST", f"/bookings/{booking_id}/confirm", within_seconds=2.5)
        unavailable(web, "GET", "/events", within_seconds=2.5)
        assert web.get("/livez").status_code == 200
    finally:
        postgres.resume()
    until(web, "POST", f"/bookings/{booking_id}/confirm", 200)
    zone = web.get(f"/events/{event_id}/zones/A").json()
    assert (zone["available"], zone["held"], zone["confirmed"]) == (8, 1, 1)


def test_metrics_add_up_over_the_workers(web: httpx.Client) -> None:
    """Each request has a connection of its own, so that both workers get some."""
    series = 'holdfast_requests_total{method="GET",route="/api/v1/livez",status="200"}'

    def count() -> float:
        lines = web.get("/metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith(series)).rpartition(" ")[2])

    before = count()
    for _ in range(20):
        assert httpx.get(f"{web.base_url}livez").status_code == 200
    assert count() == before + 20
