"""What a process answers past its limit, without a server."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from app.api.shedding import NEVER_SHED
from app.domain.errors import refusal
from tests.unit.api.canned import BOOKING_PATH, Services


class Full:
    """Stands for a view of the process' one place: while it is asked, it asks for another path."""

    def __init__(self, app: Flask, path: str) -> None:
        self._app, self._path = app, path
        self.answer: Any = None

    def __call__(self, *_: object) -> Any:
        headers = {"X-User-ID": "ann", "X-Request-ID": "as-it-was-given"}
        self.answer = self._app.test_client().get(self._path, headers=headers)
        raise refusal("RESERVATION_NOT_FOUND")


@pytest.fixture
def ask_while_full(make_app: Callable[..., Flask], services: Services) -> Callable[[str], Any]:
    def ask(path: str) -> Any:
        app = make_app(MAX_IN_FLIGHT="1")
        services.get = full = Full(app, path)  # type: ignore[assignment]
        assert app.test_client().get(BOOKING_PATH, headers={"X-User-ID": "ann"}).status_code == 404
        return full.answer

    return ask


def test_the_refusal_is_the_one_of_the_table_with_all_its_members(ask_while_full: Callable[[str], Any]) -> None:
    answer = ask_while_full("/events/käse")
    assert answer.status_code == 503
    assert answer.mimetype == "application/problem+json"
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Request-ID"] == "as-it-was-given"
    assert answer.json == {
        "type": "/errors#service-unavailable",
        "title": "Service unavailable",
        "status": 503,
        "detail": "Too many requests are in flight: nothing was done",
        "instance": "/events/k%C3%A4se",
        "code": "SERVICE_UNAVAILABLE",
        "error": "Service unavailable",
        "request_id": "as-it-was-given",
    }


@pytest.mark.parametrize("path", sorted(NEVER_SHED))
def test_what_watches_the_process_is_never_shed(ask_while_full: Callable[[str], Any], path: str) -> None:
    assert ask_while_full(path).status_code == 200


def test_a_place_is_free_again_after_a_refusal_and_after_a_bug(
    make_app: Callable[..., Flask], services: Services
) -> None:
    client = make_app(MAX_IN_FLIGHT="1").test_client()
    for answer, status in ((refusal("RESERVATION_NOT_FOUND"), 404), (RuntimeError("a bug"), 500)):
        services.get.answer = answer
        for _ in range(3):
            assert client.get(BOOKING_PATH, headers={"X-User-ID": "ann"}).status_code == status
