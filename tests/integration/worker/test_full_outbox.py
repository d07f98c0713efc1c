"""An outbox that is full (`OUTBOX_MAX`) stops selling and nothing else; a worker that drains it is all it needs."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.wiring import Wiring
from dev.gunicorn import Gunicorn
from dev.kafka import Kafka
from dev.redis import Redis
from dev.worker import Worker
from tests.support.buyers import until
from tests.support.web import client_of, open_event, order, serving

MOST = 3


@pytest.fixture
def server(session_directory: Path, shop: Wiring, database: str, redis_server: Redis) -> Iterator[Gunicorn]:
    """`shop` has opened the shards. No worker runs."""
    with serving(
        session_directory / "web-of-full-outbox",
        DATABASE_URL=database,
        REDIS_URL=redis_server.url,
        OUTBOX_MAX=str(MOST),
    ) as server:
        yield server


@pytest.fixture
def worker(session_directory: Path, server: Gunicorn, kafka: Kafka) -> Iterator[Worker]:
    """Not started yet."""
    settings = {**server.settings, "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    worker = Worker(session_directory / "worker-of-full-outbox", settings, ["relay", "consumer"])
    yield worker
    worker.stop()


def test_a_full_outbox_is_503_for_reserve_alone_until_a_worker_drains_it(server: Gunicorn, worker: Worker) -> None:
    with client_of(server) as client:
        event_id = open_event(client)

        def reserve() -> httpx.Response:
            return client.post("/bookings/reserve", json=order(event_id))

        kept, given_back, extended = (reserve().json()["booking_id"] for _ in range(MOST))
        refused = reserve()
        assert (refused.status_code, refused.headers.get("Retry-After")) == (503, "1")
        assert refused.json()["code"] == "SERVICE_UNAVAILABLE"
        assert "waiting to be recorded" in refused.json()["detail"]
        assert client.post(f"/bookings/{kept}/confirm").status_code == 200
        assert client.delete(f"/bookings/{given_back}").status_code == 200
        assert client.post(f"/bookings/{extended}/extend").status_code == 200
        zone = client.get(f"/events/{event_id}/zones/A").json()
        assert (zone["held"], zone["confirmed"]) == (1, 1), "the refused reserve took nothing"
        assert reserve().status_code == 503

        worker.start()
        until(lambda: reserve().status_code == 201, 40, "it sells again")
        assert client.get(f"/events/{event_id}/zones/A").json()["held"] == 2
