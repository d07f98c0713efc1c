"""Events and zones over HTTP, on real stores."""

from collections.abc import Callable

from tests.integration.api.conftest import Api

OpenEvent = Callable[..., str]
ZONE = {"capacity": 10, "price_minor": 15_000, "currency": "THB"}


def test_what_was_put_is_what_is_on_sale(api: Api) -> None:
    terms = {
        "name": "Żółw 東京",
        "opens_at": "2020-01-01T00:00:00.001Z",
        "closes_at": "9999-12-31T23:59:59.999Z",
        "hold_seconds": 60,
        "hold_seconds_max": 120,
        "max_per_user": 4,
        "max_per_reservation": 2,
    }
    event = api.ask("PUT", "/admin/events/put", terms)
    assert (event.status_code, event.json) == (201, {"event_id": "put", **terms})
    zone = api.ask("PUT", "/admin/events/put/zones/A", {**ZONE, "name": "Stalls"})
    assert zone.status_code == 201
    seats = {"available": 10, "held": 0, "confirmed": 0}
    on_sale = {**{k: v for k, v in zone.json.items() if k != "price_minor"}, **seats}
    assert api.ask("GET", "/events/put/zones/A").json == on_sale
    assert api.ask("GET", "/events/put/zones").json == {"data": [on_sale]}
    listed = {"event_id": "put", **terms, "capacity": 10, "available": 10}
    assert api.ask("GET", "/events/put").json == {**listed, "zones": [on_sale]}
    assert listed in api.ask("GET", "/events").json["data"]


def test_put_again_is_200_and_holds_from_now_on(api: Api, event_id: str) -> None:
    before = api.reserve(event_id).json
    assert api.ask("PUT", f"/admin/events/{event_id}", {"name": "Renamed"}).status_code == 200
    assert api.ask("PUT", f"/admin/events/{event_id}/zones/A", {**ZONE, "price_minor": 1}).status_code == 200
    assert api.ask("GET", f"/events/{event_id}").json["name"] == "Renamed"
    assert api.reserve(event_id).json["unit_price"] == "0.01"
    assert api.get(before["booking_id"]).json["unit_price"] == "150.00"


def test_a_zone_needs_its_event(api: Api) -> None:
    answer = api.ask("PUT", "/admin/events/nowhere/zones/A", ZONE)
    assert (answer.status_code, answer.json["code"]) == (404, "EVENT_NOT_FOUND")


def test_a_capacity_that_changes_is_on_sale_at_once(api: Api, event_id: str) -> None:
    assert api.ask("PUT", f"/admin/events/{event_id}/zones/A", {**ZONE, "capacity": 9}).status_code == 200
    assert api.seats(event_id) == (9, 0, 0)
    assert api.ask("PUT", f"/admin/events/{event_id}/zones/A", {**ZONE, "capacity": 11}).status_code == 200
    assert api.seats(event_id) == (11, 0, 0)


def test_the_largest_numbers_that_are_admitted_can_be_stored(api: Api) -> None:
    most = 2**31 - 1
    terms = {"name": "n" * 200, "hold_seconds_max": most, "max_per_user": most, "max_per_reservation": most}
    assert api.ask("PUT", f"/admin/events/{'e' * 64}", terms).status_code == 201
    zone = {"capacity": most, "price_minor": 10**11, "currency": "CLF"}
    assert api.ask("PUT", f"/admin/events/{'e' * 64}/zones/{'z' * 64}", zone).status_code == 201
    answer = api.reserve("e" * 64, most, zone_id="z" * 64, unit_price=10_000_000)
    assert answer.status_code == 201
    assert answer.json["total_price"] == f"{10**7 * most}.0000"
    assert api.confirm(answer.json["booking_id"]).status_code == 200


def test_an_empty_event_and_an_unknown_one_differ(api: Api) -> None:
    api.ask("PUT", "/admin/events/empty", {"name": "Empty"})
    assert api.ask("GET", "/events/empty").json["zones"] == []
    assert api.ask("GET", "/events/empty/zones/A").json["code"] == "ZONE_NOT_FOUND"
    for path in ("/events/unknown", "/events/unknown/zones", "/events/unknown/zones/A"):
        assert api.ask("GET", path).json["code"] == "EVENT_NOT_FOUND"
