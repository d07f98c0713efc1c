"""The application as it is, on real Redis and Postgres, asked through WSGI: no socket of its own, no canned service."""

import itertools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask
from werkzeug.test import TestResponse

from app.factory import create_app
from app.settings import Settings
from dev.redis import Redis
from tests.support import servers
from tests.support.seats import reopen, settings

ADMIN_TOKEN = "admin-token-of-the-tests"
_numbers = itertools.count(1)


@dataclass
class Api:
    """One user's way in, behind a gateway. `prefix` may be empty: clients of the original API ask at the root."""

    app: Flask
    user: str = "ann"
    prefix: str = "/api/v1"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        identity = {"X-User-ID": self.user, "Authorization": f"Bearer {ADMIN_TOKEN}"}
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        with_body = {} if body is None else {"json": body}
        return self.app.test_client().open(
            f"{self.prefix}{path}", method=method, headers={**identity, **names}, **with_body
        )

    def reserve(
        self, event_id: str, quantity: int = 1, headers: dict[str, str] | None = None, **body: Any
    ) -> TestResponse:
        order = {"event_id": event_id, "zone_id": "A", "quantity": quantity, **body}
        return self.ask("POST", "/bookings/reserve", order, **(headers or {}))

    def confirm(self, booking_id: str, **body: Any) -> TestResponse:
        return self.ask("POST", f"/bookings/{booking_id}/confirm", body or None)

    def release(self, booking_id: str) -> TestResponse:
        return self.ask("DELETE", f"/bookings/{booking_id}")

    def get(self, booking_id: str) -> TestResponse:
        return self.ask("GET", f"/bookings/{booking_id}")

    def seats(self, event_id: str) -> tuple[int, int, int]:
        """(available, held, confirmed) of zone A."""
        zone = self.app.test_client().get(f"/api/v1/events/{event_id}/zones/A").json
        return zone["available"], zone["held"], zone["confirmed"]


@pytest.fixture(scope="module")
def hot_routes() -> str:
    """Overridden where the hot routes are asked both ways (HOT_ROUTES)."""
    return "on"


@pytest.fixture(scope="module")
def app(database: str, redis_server: Redis, hot_routes: str) -> Iterator[Flask]:
    redis.Redis.from_url(redis_server.url).flushall()
    root = logging.getLogger()
    level = root.level
    with started(settings(database, redis_server.url, hot_routes=hot_routes)) as app:
        yield app
    root.handlers = [handler for handler in root.handlers if handler.get_name() != "holdfast"]
    root.setLevel(level)


@pytest.fixture(scope="module")
def own_redis(session_directory: Path, request: pytest.FixtureRequest) -> Iterator[Redis]:
    """To be paused: the session's own serves other tests."""
    with servers.started(Redis(session_directory / f"redis-of-{request.module.__name__.rpartition('.')[2]}")) as server:
        yield server


@pytest.fixture
def api(app: Flask) -> Api:
    return Api(app)


@pytest.fixture
def bob(app: Flask) -> Api:
    return Api(app, "bob")


@pytest.fixture
def open_event(api: Api) -> Callable[..., str]:
    """Opens a fresh event with zone A: `open_event(capacity=10, **terms)` answers its id."""

    def opened(capacity: int = 10, **terms: Any) -> str:
        event_id = f"api-{next(_numbers)}"
        api.ask("PUT", f"/admin/events/{event_id}", {"name": event_id, **terms})
        zone = {"capacity": capacity, "price_minor": 15_000, "currency": "THB"}
        assert api.ask("PUT", f"/admin/events/{event_id}/zones/A", zone).status_code == 201
        return event_id

    return opened


@pytest.fixture
def event_id(open_event: Callable[..., str]) -> str:
    """A fresh event with ten seats."""
    return open_event()


@contextmanager
def started(of: Settings) -> Iterator[Flask]:
    """An application with its pools open and, as no worker runs here, its shards opened by hand."""
    app = create_app(of)
    app.extensions["holdfast.start"]()
    try:
        reopen(app.extensions["holdfast"])
        yield app
    finally:
        app.extensions["holdfast"].close()


def until(answers: Callable[[], TestResponse], status: int, seconds: float = 10) -> TestResponse:
    """Asks until the answer has `status`."""
    deadline = time.monotonic() + seconds
    while (answer := answers()).status_code != status:
        assert time.monotonic() < deadline, answer.json
        time.sleep(0.05)
    return answer
