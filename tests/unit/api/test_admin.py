"""What operators may say of events and zones."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from app.domain.model import Event, Zone

EVENT = "/api/v1/admin/events/demo"
ZONE = f"{EVENT}/zones/A"
ZONE_TERMS = {"capacity": 500, "price_minor": 15_000, "currency": "EUR"}


def test_an_event_needs_a_name_and_has_terms_for_the_rest(admin: FlaskClient, services: Any) -> None:
    answer = admin.put(EVENT, json={"name": "Demo"})
    assert answer.status_code == 201
    assert answer.json == {
        "event_id": "demo",
        "name": "Demo",
        "hold_seconds": 600,
        "hold_seconds_max": 1800,
        "max_per_user": 10,
        "max_per_reservation": 10,
    }
    assert services.open_zone.event.asked == [(Event(event_id="demo", name="Demo"),)]


def test_an_event_that_is_not_new_is_200(admin: FlaskClient, services: Any) -> None:
    services.open_zone.event.answer = False
    assert admin.put(EVENT, json={"name": "Demo"}).status_code == 200


def test_all_terms_of_an_event_come_back(admin: FlaskClient) -> None:
    terms = {
        "name": "Żółw 東京",
        "opens_at": "2026-08-01T08:00:00.000Z",
        "closes_at": "2026-08-31T20:00:00.250Z",
        "hold_seconds": 2,
        "hold_seconds_max": 3,
        "max_per_user": 4,
        "max_per_reservation": 2**31 - 1,
    }
    assert admin.put(EVENT, json=terms).json == {"event_id": "demo", **terms}


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-08-01T10:00:00+02:00", 1_785_571_200_000),
        ("2026-08-01t08:00:00z", 1_785_571_200_000),
        ("2026-08-01T08:00:00.1Z", 1_785_571_200_100),
        ("2026-08-01T08:00:00.123999999Z", 1_785_571_200_123),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ],
)
def test_times_are_rfc_3339_with_any_offset(admin: FlaskClient, services: Any, written: str, milliseconds: int) -> None:
    admin.put(EVENT, json={"name": "Demo", "opens_at": written})
    assert services.open_zone.event.asked[0][0].opens_at_ms == milliseconds


@pytest.mark.parametrize(
    "written",
    [
        "2026-08-01T08:00:00",
        "2026-08-01",
        "2026-08-01 08:00:00Z",
        "20260801T080000Z",
        "2026-W31-6T08:00:00Z",
        "2026-02-30T08:00:00Z",
        "2026-08-01T24:00:00Z",
        "2026-08-01T08:00:60Z",
        "2026-08-01T08:00:00+25:00",
        "2026-08-01T08:00:00Z\n",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59-01:00",
        "0001-01-01T00:00:00+14:00",
        "",
        1_785_571_200,
        None,
    ],
)
def test_any_other_time_is_422(admin: FlaskClient, written: object) -> None:
    answer = admin.put(EVENT, json={"name": "Demo", "closes_at": written})
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["closes_at"])


def test_a_longer_hold_raises_its_maximum(admin: FlaskClient) -> None:
    assert admin.put(EVENT, json={"name": "Demo", "hold_seconds": 86_400}).json["hold_seconds_max"] == 86_400


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": "n" * 201}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "a\ud800b"}, "name"),
        ({"hold_seconds": 0}, "hold_seconds"),
        ({"hold_seconds": 86_401}, "hold_seconds"),
        ({"hold_seconds_max": 599}, "hold_seconds_max"),
        ({"hold_seconds_max": 2**31}, "hold_seconds_max"),
        ({"max_per_user": 0}, "max_per_user"),
        ({"max_per_reservation": 2**31}, "max_per_reservation"),
        ({"opens_at": "2026-08-01T08:00:00Z", "closes_at": "2026-08-01T08:00:00Z"}, "closes_at"),
        ({"event_id": "demo"}, "event_id"),
    ],
)
def test_terms_of_an_event_that_cannot_be_are_422(admin: FlaskClient, terms: dict[str, Any], field: str) -> None:
    answer = admin.put(EVENT, json={"name": "Demo", **terms})
    assert (answer.status_code, list(answer.json["errors"])) == (422, [field])


def test_a_zone_is_named_by_its_id_unless_told_otherwise(admin: FlaskClient, services: Any) -> None:
    answer = admin.put(ZONE, json=ZONE_TERMS)
    assert answer.status_code == 201
    assert answer.json == {"event_id": "demo", "zone_id": "A", "name": "A", "unit_price": "150.00", **ZONE_TERMS}
    zone = Zone(event_id="demo", zone_id="A", name="A", capacity=500, price_minor=15_000, currency="EUR")
    assert services.open_zone.asked == [(zone,)]
    assert admin.put(ZONE, json={**ZONE_TERMS, "name": "Stalls"}).json["name"] == "Stalls"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("capacity", -1),
        ("capacity", 2**31),
        ("capacity", "500"),
        ("capacity", 5.0),
        ("price_minor", -1),
        ("price_minor", 10**11 + 1),
        ("price_minor", "150.00"),
        ("currency", "eur"),
        ("currency", "EURO"),
        ("currency", "EU\n"),
        ("name", ""),
        ("unit_price", "150.00"),
    ],
)
def test_terms_of_a_zone_that_cannot_be_are_422(admin: FlaskClient, member: str, value: object) -> None:
    answer = admin.put(ZONE, json={**ZONE_TERMS, member: value})
    assert (answer.status_code, list(answer.json["errors"])) == (422, [member])


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/v1/admin/events/-", "event_id"),
        (f"/api/v1/admin/events/{'e' * 65}", "event_id"),
        ("/api/v1/admin/events/-/zones/A", "event_id"),
        (f"{EVENT}/zones/a%20b", "zone_id"),
    ],
)
def test_what_cannot_be_an_id_cannot_be_created(admin: FlaskClient, services: Any, path: str, field: str) -> None:
    answer = admin.put(path, json={"name": "Demo"})
    assert (answer.status_code, list(answer.json["errors"])) == (422, [field])
    assert services.open_zone.asked == services.open_zone.event.asked == []
