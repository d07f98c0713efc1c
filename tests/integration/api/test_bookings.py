"""Reserve, confirm, release and get over HTTP, on real stores."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from werkzeug.test import TestResponse

from tests.integration.api.conftest import Api

OpenEvent = Callable[..., str]


@pytest.fixture(scope="module", params=["on", "off"], ids=["hot", "by-flask"])
def hot_routes(request: pytest.FixtureRequest) -> str:
    """Both ways to these four routes."""
    return str(request.param)


def refused(answer: TestResponse, status: int, code: str) -> TestResponse:
    assert (answer.status_code, answer.json["code"]) == (status, code), answer.json
    assert answer.content_type == "application/problem+json"
    return answer


def test_a_seat_goes_from_reserved_to_confirmed(api: Api, event_id: str) -> None:
    reserved = api.reserve(event_id, 2)
    assert reserved.status_code == 201
    assert reserved.json["total_price"] == "300.00"
    assert 595 <= reserved.json["expires_in"] <= 600
    booking_id = reserved.json["booking_id"]
    assert reserved.headers["Location"] == f"/api/v1/bookings/{booking_id}"
    assert api.seats(event_id) == (8, 2, 0)
    assert api.get(booking_id).json["status"] == "reserved"

    confirmed = api.confirm(booking_id, payment_id="pay_1")
    assert confirmed.status_code == 200
    assert confirmed.json["status"] == "confirmed"
    assert confirmed.json["confirmation_code"]
    assert api.seats(event_id) == (8, 0, 2)
    found = api.get(booking_id).json
    assert found["status"] == "confirmed"
    assert found["confirmation_code"] == confirmed.json["confirmation_code"]
    assert found["payment_id"] == "pay_1"
    assert datetime.fromisoformat(found["reserved_at"]) <= datetime.fromisoformat(found["confirmed_at"])


def test_confirm_again_is_the_same_answer_and_with_another_payment_a_refusal(api: Api, event_id: str) -> None:
    booking_id = api.reserve(event_id).json["booking_id"]
    first = api.confirm(booking_id, payment_id="pay_1")
    assert api.confirm(booking_id, payment_id="pay_1").json == first.json
    refused(api.confirm(booking_id, payment_id="pay_2"), 409, "ALREADY_CONFIRMED")
    refused(api.release(booking_id), 409, "ALREADY_CONFIRMED")


def test_a_second_release_finds_nothing_and_credits_nothing(api: Api, event_id: str) -> None:
    booking_id = api.reserve(event_id, 3).json["booking_id"]
    assert api.release(booking_id).json == {"booking_id": booking_id, "status": "released"}
    assert api.seats(event_id) == (10, 0, 0)
    again = refused(api.ask("POST", f"/bookings/{booking_id}/release"), 404, "RESERVATION_NOT_FOUND")
    assert again.json["reason"] == "released"
    assert api.seats(event_id) == (10, 0, 0)
    refused(api.confirm(booking_id), 404, "RESERVATION_NOT_FOUND")


@pytest.mark.parametrize(
    "booking_id",
    ["nonsense", "0198f3a2-7c41-8007-9d2e-5b1f0a6c3e84", "00000000-0000-0000-0000-000000000000", "%00", "x" * 500],
)
def test_what_was_never_reserved_is_not_found(api: Api, booking_id: str) -> None:
    for answer in (api.get(booking_id), api.confirm(booking_id), api.release(booking_id)):
        refused(answer, 404, "RESERVATION_NOT_FOUND")


def test_somebody_elses_booking_does_not_exist(api: Api, bob: Api, event_id: str) -> None:
    booking_id = api.reserve(event_id).json["booking_id"]
    for answer in (bob.get(booking_id), bob.confirm(booking_id), bob.release(booking_id)):
        refused(answer, 404, "RESERVATION_NOT_FOUND")
    api.confirm(booking_id)
    for answer in (bob.get(booking_id), bob.confirm(booking_id), bob.release(booking_id)):
        refused(answer, 404, "RESERVATION_NOT_FOUND")


def test_one_key_is_one_reservation(api: Api, bob: Api, event_id: str) -> None:
    first = api.reserve(event_id, headers={"Idempotency_Key": "k"})
    again = api.reserve(event_id, idempotency_key="k")
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert "Idempotency-Replayed" not in first.headers
    assert again.json["booking_id"] == first.json["booking_id"]
    assert again.json["expires_at"] == first.json["expires_at"]
    refused(api.reserve(event_id, 2, idempotency_key="k"), 422, "IDEMPOTENCY_KEY_REUSED")
    assert bob.reserve(event_id, idempotency_key="k").json["booking_id"] != first.json["booking_id"]
    assert api.seats(event_id) == (8, 2, 0)


def test_fifty_at_once_with_one_key_are_one_reservation(api: Api, event_id: str) -> None:
    with ThreadPoolExecutor(50) as crowd:
        answers = list(crowd.map(lambda _: api.reserve(event_id, idempotency_key="k"), range(50)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json["booking_id"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 49
    assert api.seats(event_id) == (9, 1, 0)


def test_refusals_of_reserve_tell_what_there_is(api: Api, open_event: OpenEvent) -> None:
    event_id = open_event(capacity=3, max_per_user=4, max_per_reservation=4)
    assert refused(api.reserve(event_id, 4), 409, "INSUFFICIENT_SEATS").json["available"] == 3
    too_many = refused(api.reserve(event_id, 5), 422, "VALIDATION_ERROR")
    assert list(too_many.json["errors"]) == ["quantity"]
    assert refused(api.reserve(event_id, unit_price="160.00"), 409, "PRICE_CHANGED").json["current_price"] == "150.00"
    assert api.reserve(event_id, unit_price="150").status_code == 201
    refused(api.reserve(event_id, zone_id="B"), 404, "ZONE_NOT_FOUND")
    refused(api.reserve("there-is-no-such"), 404, "EVENT_NOT_FOUND")
    assert api.seats(event_id) == (2, 1, 0)


def test_a_users_limit_counts_what_is_held_and_confirmed(api: Api, bob: Api, open_event: OpenEvent) -> None:
    event_id = open_event(max_per_user=3)
    api.confirm(api.reserve(event_id, 2).json["booking_id"])
    api.reserve(event_id, 1)
    over = refused(api.reserve(event_id, 1), 409, "MAX_TICKETS_EXCEEDED")
    assert (over.json["limit"], over.json["taken"]) == (3, 3)
    assert bob.reserve(event_id, 3).status_code == 201


def test_outside_its_window_nothing_is_sold(api: Api, open_event: OpenEvent) -> None:
    refused(api.reserve(open_event(opens_at="2999-01-01T00:00:00Z")), 409, "SALE_CLOSED")
    refused(api.reserve(open_event(closes_at="2001-01-01T00:00:00Z")), 409, "SALE_CLOSED")


def test_the_original_paths_are_the_same_bookings(api: Api, event_id: str) -> None:
    original = Api(api.app, prefix="")
    booking_id = original.reserve(event_id).json["booking_id"]
    assert api.get(booking_id).json == original.get(booking_id).json
    assert original.confirm(booking_id).json == api.confirm(booking_id).json
