"""How a refusal looks on the wire, whoever refuses."""

import logging
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.domain.errors import KINDS, refusal
from tests.unit.api.canned import BOOKING_PATH

CORE = ["type", "title", "status", "detail", "instance", "code", "error", "request_id"]


@pytest.mark.parametrize("code", KINDS)
def test_every_refusal_of_the_table_is_a_problem_with_its_status(client: FlaskClient, services: Any, code: str) -> None:
    kind = KINDS[code]
    services.get.answer = refusal(code)
    answer = client.get(f"/api/v1{BOOKING_PATH}")
    assert answer.status_code == kind.status
    assert answer.content_type == "application/problem+json"
    assert list(answer.json) == CORE
    assert answer.json["code"] == code
    assert answer.json["title"] == answer.json["error"] == kind.title
    assert answer.json["status"] == kind.status
    assert answer.json["type"] == f"/errors#{code.lower().replace('_', '-')}"
    assert answer.json["instance"] == f"/api/v1{BOOKING_PATH}"
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]
    assert ("Retry-After" in answer.headers) == (kind.status in (429, 503))
    assert ("WWW-Authenticate" in answer.headers) == (kind.status == 401)


def test_every_type_is_explained_at_its_anchor(client: FlaskClient) -> None:
    page = client.get("/errors").text
    for code in KINDS:
        assert f'id="{code.lower().replace("_", "-")}"' in page
        assert f"<h2>{code}</h2>" in page


def test_extensions_are_members_of_the_problem_and_replace_none(client: FlaskClient, services: Any) -> None:
    services.get.answer = refusal("INSUFFICIENT_SEATS", "Only one is left", available=1, status="confirmed")
    answer = client.get(BOOKING_PATH)
    assert answer.json["available"] == 1
    assert answer.json["detail"] == "Only one is left"
    assert answer.json["status"] == 409


def test_how_long_to_wait_is_a_setting(make_app: Any, services: Any) -> None:
    services.health.answer = {"redis": "down"}
    answer = make_app(RETRY_AFTER_SECONDS="7").test_client().get("/readyz")
    assert answer.headers["Retry-After"] == "7"


@pytest.mark.parametrize("path", ["/nowhere", "/api/v1/nowhere", "/api/v1/events/", "//livez", "/docs/nothing", "/%ff"])
def test_an_unknown_route_is_not_found_and_never_a_redirect(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json["code"]) == (404, "NOT_FOUND")


def test_a_wrong_method_is_405_and_allow_lists_the_right_ones(client: FlaskClient) -> None:
    answer = client.put(BOOKING_PATH)
    assert (answer.status_code, answer.json["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert {"GET", "DELETE"} <= set(answer.headers["Allow"].split(", "))


def test_the_path_of_the_instance_is_a_uri(client: FlaskClient) -> None:
    assert client.get("/bookings/é%0A/x").json["instance"] == "/bookings/%C3%A9%0A/x"


def test_a_bug_is_500_with_nothing_of_it_and_is_logged_whole(
    client: FlaskClient, services: Any, caplog: pytest.LogCaptureFixture
) -> None:
    services.get.answer = ZeroDivisionError("the insides")
    with caplog.at_level(logging.ERROR):
        answer = client.get(BOOKING_PATH, headers={"X-Request-ID": "request-0815"})
    assert (answer.status_code, answer.json["code"]) == (500, "INTERNAL_ERROR")
    assert answer.json["request_id"] == "request-0815"
    assert "insides" not in answer.text
    (record,) = [r for r in caplog.records if r.exc_info]
    assert isinstance(record.exc_info[1], ZeroDivisionError)  # type: ignore[index]


def test_an_exhausted_stack_is_a_bug_too_and_no_crash(client: FlaskClient, services: Any) -> None:
    services.get.answer = RecursionError()
    assert client.get(BOOKING_PATH).status_code == 500
