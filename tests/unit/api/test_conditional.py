"""`ETag` and `If-None-Match` on a booking."""

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.api.conditional import tag_of
from app.domain.errors import refusal
from tests.unit.api.canned import AT_MS, BOOKING, BOOKING_PATH, Services


def test_what_the_caller_knows_already_is_not_sent_again(client: FlaskClient) -> None:
    first = client.get(BOOKING_PATH)
    assert first.headers["ETag"].startswith('W/"1-')
    again = client.get(BOOKING_PATH, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert "Content-Type" not in again.headers
    assert "Content-Length" not in again.headers


@pytest.mark.parametrize("status", [200, 304])
def test_personal_data_is_for_no_cache_either_way(client: FlaskClient, status: int) -> None:
    tag = client.get(BOOKING_PATH).headers["ETag"] if status == 304 else '"another"'
    answer = client.get(BOOKING_PATH, headers={"If-None-Match": tag})
    assert answer.status_code == status
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Request-ID"]


@pytest.mark.parametrize("among", ['"x", {tag}', "*", '{tag}, W/"y"'])
def test_one_of_several_is_enough_and_a_star_is_any(client: FlaskClient, among: str) -> None:
    tag = client.get(BOOKING_PATH).headers["ETag"]
    assert client.get(BOOKING_PATH, headers={"If-None-Match": among.format(tag=tag)}).status_code == 304


@pytest.mark.parametrize("garbage", ["", "1", '"', "W/", '"1-0000000000000000"', ", ,"])
def test_what_is_no_tag_of_ours_is_answered_in_full(client: FlaskClient, garbage: str) -> None:
    assert client.get(BOOKING_PATH, headers={"If-None-Match": garbage}).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"status": "expired"},
        {"status": "confirmed", "confirmed_at_ms": AT_MS},
        {"deadline_ms": AT_MS + 1},
        {"cause": "deadline"},
        {"payment_id": "pay_1"},
    ],
)
def test_it_changes_whenever_the_answer_changes_with_the_version_or_without(
    client: FlaskClient, services: Services, change: dict[str, Any]
) -> None:
    """That a reservation's time is over shows before the sweeper has given it its next version."""
    known = client.get(BOOKING_PATH).headers["ETag"]
    services.get.answer = replace(BOOKING, **change)
    answer = client.get(BOOKING_PATH, headers={"If-None-Match": known})
    assert answer.status_code == 200
    assert answer.headers["ETag"] != known


def test_the_seconds_that_are_left_do_not_make_another_booking() -> None:
    assert tag_of({"version": 1, "expires_in": 10}) == tag_of({"version": 1, "expires_in": 9})
    assert tag_of({"version": 1, "expires_at": "a"}) != tag_of({"version": 1, "expires_at": "b"})


def test_a_refusal_has_no_tag_and_is_never_304(client: FlaskClient, services: Services) -> None:
    services.get.answer = refusal("RESERVATION_NOT_FOUND")
    answer = client.get(BOOKING_PATH, headers={"If-None-Match": "*"})
    assert answer.status_code == 404
    assert "ETag" not in answer.headers


def test_it_is_documented(client: FlaskClient) -> None:
    document: Any = client.get("/openapi.json").json
    operation = document["paths"]["/api/v1/bookings/{booking_id}"]["get"]
    assert set(operation["responses"]["304"]) == {"description", "headers"}
    assert operation["responses"]["200"]["content"]
    for status in ("200", "304"):
        assert "ETag" in operation["responses"][status]["headers"]
    assert {"If-None-Match"} == {p["name"] for p in operation["parameters"] if p["in"] == "header"}
