"""A server that is about to end says so before it does."""

from collections.abc import Callable, Iterator

import pytest
from flask import Flask

from app.api import leaving
from tests.unit.api.canned import Services


@pytest.fixture
def leaving_app(make_app: Callable[..., Flask]) -> Iterator[Flask]:
    app = make_app()
    leaving.tell(app, lambda: True)
    yield app
    leaving.register(app)


@pytest.mark.parametrize("path", ["/readyz", "/health", "/api/v1/readyz"])
def test_it_is_not_ready_and_asks_no_store(leaving_app: Flask, services: Services, path: str) -> None:
    answer = leaving_app.test_client().get(path)
    assert (answer.status_code, answer.json["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert answer.json["parts"] == {"server": "about to end"}
    assert services.health.asked == []


def test_everything_else_is_answered_as_before(leaving_app: Flask) -> None:
    assert leaving_app.test_client().get("/livez").status_code == 200
    assert leaving_app.test_client().get("/api/v1/events").status_code == 200


def test_a_server_that_nobody_told_otherwise_stays(make_app: Callable[..., Flask]) -> None:
    assert make_app().test_client().get("/readyz").status_code == 200
