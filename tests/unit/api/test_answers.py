"""What a client gets when it is not refused."""

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.domain.model import Held
from app.factory import create_app
from app.settings import Settings
from tests.unit.api.canned import AT_MS, BOOKING, BOOKING_ID, BOOKING_PATH, ENVIRONMENT, Services

ORDER = {"event_id": "demo", "zone_id": "A", "quantity": 2}
SEATS = {
    "booking_id": BOOKING_ID,
    "event_id": "demo",
    "zone_id": "A",
    "quantity": 2,
    "unit_price": "150.00",
    "total_price": "300.00",
    "currency": "EUR",
}
CONFIRMED = replace(
    BOOKING, status="confirmed", version=2, confirmed_at_ms=AT_MS + 1, confirmation_code="K7PW2M9Q", payment_id="pay_1"
)


def test_reserve_is_201_with_the_deadline_and_where_the_booking_is(client: FlaskClient, services: Any) -> None:
    answer = client.post("/api/v1/bookings/reserve", json=ORDER)
    assert answer.status_code == 201
    assert answer.json == {
        **SEATS,
        "status": "reserved",
        "expires_at": "2026-08-01T08:10:00.123Z",
        "expires_in": 599,
    }
    assert answer.headers["Location"] == f"/api/v1/bookings/{BOOKING_ID}"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Idempotency-Replayed" not in answer.headers
    user, order = services.reserve.asked[0]
    assert (user, order.event_id, order.zone_id, order.quantity) == ("ann", "demo", "A", 2)


def test_a_replay_is_201_again_and_says_so(client: FlaskClient, services: Any) -> None:
    services.reserve.answer = Held(BOOKING, replayed=True, expires_in_ms=-5)
    answer = client.post("/bookings/reserve", json=ORDER)
    assert (answer.status_code, answer.headers["Idempotency-Replayed"]) == (201, "true")
    assert answer.json["expires_in"] == 0
    assert answer.headers["Location"] == f"/api/v1/bookings/{BOOKING_ID}"


def test_confirm_is_200_with_the_code_and_the_payment(client: FlaskClient, services: Any) -> None:
    services.confirm.answer = CONFIRMED
    answer = client.post(f"/api/v1/bookings/{BOOKING_ID}/confirm", json={"payment_id": "pay_1"})
    assert services.confirm.asked == [("ann", BOOKING_ID, "pay_1")]
    assert answer.status_code == 200
    assert answer.json == {
        **SEATS,
        "status": "confirmed",
        "confirmed_at": "2026-08-01T08:00:00.124Z",
        "confirmation_code": "K7PW2M9Q",
        "payment_id": "pay_1",
    }


def test_confirm_without_a_payment_leaves_its_member_out(client: FlaskClient, services: Any) -> None:
    services.confirm.answer = replace(CONFIRMED, payment_id=None)
    assert "payment_id" not in client.post(f"/bookings/{BOOKING_ID}/confirm").json
    assert services.confirm.asked == [("ann", BOOKING_ID, None)]


@pytest.mark.parametrize(("method", "suffix"), [("DELETE", ""), ("POST", "/release")])
def test_release_has_two_forms_and_one_answer(client: FlaskClient, services: Any, method: str, suffix: str) -> None:
    answer = client.open(f"/api/v1/bookings/{BOOKING_ID}{suffix}", method=method)
    assert (answer.status_code, answer.json) == (200, {"booking_id": BOOKING_ID, "status": "released"})
    assert services.release.asked == [("ann", BOOKING_ID)]


def test_get_tells_everything_that_has_a_value(client: FlaskClient, services: Any) -> None:
    reserved = {
        **SEATS,
        "status": "reserved",
        "user_id": "ann",
        "version": 1,
        "reserved_at": "2026-08-01T08:00:00.123Z",
        "expires_at": "2026-08-01T08:10:00.123Z",
    }
    assert client.get(f"/api/v1/bookings/{BOOKING_ID}").json == reserved
    services.get.answer = CONFIRMED
    assert client.get(f"/api/v1/bookings/{BOOKING_ID}").json == {
        **reserved,
        "status": "confirmed",
        "version": 2,
        "confirmed_at": "2026-08-01T08:00:00.124Z",
        "confirmation_code": "K7PW2M9Q",
        "payment_id": "pay_1",
    }


def test_money_has_the_digits_of_its_currency(client: FlaskClient, services: Any) -> None:
    services.get.answer = replace(BOOKING, currency="JPY")
    assert client.get(BOOKING_PATH).json["total_price"] == "30000"
    services.get.answer = replace(BOOKING, currency="KWD", unit_price_minor=1)
    assert client.get(BOOKING_PATH).json["total_price"] == "0.002"


ZONE = {
    "event_id": "demo",
    "zone_id": "A",
    "name": "Stalls",
    "capacity": 10,
    "unit_price": "150.00",
    "currency": "EUR",
    "available": 5,
    "held": 2,
    "confirmed": 3,
}
EVENT = {
    "event_id": "demo",
    "name": "Holdfast live",
    "hold_seconds": 600,
    "hold_seconds_max": 1800,
    "max_per_user": 10,
    "max_per_reservation": 10,
    "capacity": 10,
    "available": 5,
}


def test_the_catalogue_tells_terms_and_seats(client: FlaskClient) -> None:
    assert client.get("/api/v1/events").json == {"data": [EVENT]}
    assert client.get("/api/v1/events/demo").json == {**EVENT, "zones": [ZONE]}
    assert client.get("/api/v1/events/demo/zones").json == {"data": [ZONE]}
    assert client.get("/api/v1/events/demo/zones/A").json == ZONE


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("events/-", "EVENT_NOT_FOUND"),
        ("events/-/zones", "EVENT_NOT_FOUND"),
        ("events/-/zones/-", "EVENT_NOT_FOUND"),
        ("events/demo/zones/-", "ZONE_NOT_FOUND"),
        ("events/" + "e" * 65, "EVENT_NOT_FOUND"),
        ("events/%00", "EVENT_NOT_FOUND"),
        ("bookings/x", "RESERVATION_NOT_FOUND"),
        (f"bookings/{BOOKING_ID.upper()}", "RESERVATION_NOT_FOUND"),
        ("bookings/00000000-0000-0000-0000-000000000000", "RESERVATION_NOT_FOUND"),
    ],
)
def test_what_is_no_id_names_nothing(client: FlaskClient, path: str, code: str) -> None:
    answer = client.get(f"/api/v1/{path}")
    assert (answer.status_code, answer.json["code"]) == (404, code)


def test_bookings_and_health_also_answer_at_the_root_and_nothing_else_does(client: FlaskClient) -> None:
    for path in (BOOKING_PATH[1:], "health", "livez", "readyz", "metrics"):
        assert client.get(f"/{path}").status_code == client.get(f"/api/v1/{path}").status_code == 200
    for path in ("events", "events/demo", "admin/events/demo"):
        assert client.get(f"/{path}").status_code == 404


def test_live_asks_no_dependency(client: FlaskClient, services: Any) -> None:
    services.health.answer = RuntimeError("asked")
    assert client.get("/livez").json == {"status": "ok"}


@pytest.mark.parametrize("path", ["/readyz", "/health", "/api/v1/readyz"])
def test_ready_tells_each_part_also_when_it_is_not(client: FlaskClient, services: Any, path: str) -> None:
    parts = {"redis": "ok", "postgres": "ok", "shards": "ok"}
    assert client.get(path).json == {"status": "ok", "parts": parts}
    services.health.answer = {**parts, "shards": "closed: 3"}
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json["parts"] == {**parts, "shards": "closed: 3"}


def test_pools_open_at_the_first_request_and_once(services: Services) -> None:
    client = create_app(Settings.from_environment(ENVIRONMENT), lambda _: services).test_client()
    assert services.start.asked == []
    client.get("/livez")
    client.get("/livez")
    assert services.start.asked == [()]
