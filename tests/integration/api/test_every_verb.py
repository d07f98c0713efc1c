"""cancel, extend, history, list, summary and inventory over HTTP, on real stores. A read right after a 2xx shows it."""

import base64
import zlib
from typing import Any

import pytest

from tests.integration.api.conftest import Api
from tests.integration.api.test_bookings import refused


def _put_zone(api: Api, event_id: str, capacity: int) -> Any:
    terms = {"capacity": capacity, "price_minor": 15_000, "currency": "THB"}
    return api.ask("PUT", f"/admin/events/{event_id}/zones/A", terms)


def test_a_confirmed_booking_is_cancelled_and_says_so_everywhere_at_once(api: Api, event_id: str) -> None:
    booking_id = api.reserve(event_id, 2).json["booking_id"]
    api.confirm(booking_id)
    cancelled = api.ask("POST", f"/bookings/{booking_id}/cancel", {"reason": "ill"})
    assert (cancelled.status_code, cancelled.json["status"]) == (200, "cancelled")
    assert api.ask("POST", f"/bookings/{booking_id}/cancel").json == cancelled.json
    assert api.get(booking_id).json["status"] == "cancelled"
    assert api.seats(event_id) == (10, 0, 0)
    (listed,) = api.ask("GET", f"/bookings?event_id={event_id}").json["data"]
    assert listed["status"] == "cancelled"
    history = api.ask("GET", f"/bookings/{booking_id}/history").json["data"]
    assert [t["status"] for t in history] == ["reserved", "confirmed", "cancelled"]
    assert [t["version"] for t in history] == [1, 2, 3]


def test_a_reservation_that_is_cancelled_is_released(api: Api, event_id: str) -> None:
    booking_id = api.reserve(event_id, 2).json["booking_id"]
    assert api.ask("POST", f"/bookings/{booking_id}/cancel").json["status"] == "released"
    again = refused(api.ask("POST", f"/bookings/{booking_id}/cancel"), 404, "RESERVATION_NOT_FOUND")
    assert again.json["reason"] == "released"


def test_an_extension_moves_the_deadline_once_with_a_key_and_each_time_without(api: Api, event_id: str) -> None:
    reserved = api.reserve(event_id).json
    path = f"/bookings/{reserved['booking_id']}/extend"
    first = api.ask("POST", path, Idempotency_Key="k")
    again = api.ask("POST", path, Idempotency_Key="k")
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json["expires_at"] == again.json["expires_at"] > reserved["expires_at"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert api.get(reserved["booking_id"]).json["expires_at"] == first.json["expires_at"]
    assert api.ask("POST", path).json["expires_at"] > first.json["expires_at"]
    limit = refused(api.ask("POST", path), 409, "HOLD_LIMIT_REACHED")
    assert limit.json["expires_at"] == api.get(reserved["booking_id"]).json["expires_at"]
    other = api.reserve(event_id).json["booking_id"]
    refused(api.ask("POST", f"/bookings/{other}/extend", Idempotency_Key="k"), 422, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize("verb", ["confirm", "release", "cancel", "extend"])
def test_a_key_that_is_none_is_refused_by_every_verb(api: Api, event_id: str, verb: str) -> None:
    booking_id = api.reserve(event_id).json["booking_id"]
    answer = api.ask("POST", f"/bookings/{booking_id}/{verb}", Idempotency_Key="k" * 256)
    refused(answer, 400, "IDEMPOTENCY_KEY_INVALID")
    assert api.get(booking_id).json["status"] == "reserved"


def test_the_list_is_paged_newest_first_and_mine_only(api: Api, bob: Api, event_id: str) -> None:
    mine = [api.reserve(event_id).json["booking_id"] for _ in range(5)]
    bob.reserve(event_id)
    seen: list[str] = []
    cursor = ""
    for _ in range(5):
        page = api.ask("GET", f"/bookings?event_id={event_id}&limit=2{cursor}").json
        seen += [booking["booking_id"] for booking in page["data"]]
        if "next_cursor" not in page:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert sorted(seen, reverse=True) == seen
    assert set(seen) == set(mine)
    assert len(seen) == 5
    api.confirm(mine[0])
    (confirmed,) = api.ask("GET", f"/bookings?event_id={event_id}&status=confirmed").json["data"]
    assert confirmed["booking_id"] == mine[0]


def _cursor(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=201", "limit=-1", "limit=x", "limit=1.5", "limit=", "status=sold", "event_id=a/b"),
        *("unknown=1", "cursor=x", "cursor=", "cursor=%00", f"cursor={_cursor(bytes(20))[:-1]}"),
        f"cursor={_cursor(bytes(16) + b'abcd')}",
        f"cursor={'A' * 5000}",
    ],
)
def test_a_query_that_cannot_be_used_is_refused(api: Api, query: str) -> None:
    assert refused(api.ask("GET", f"/bookings?{query}"), 422, "VALIDATION_ERROR").json["errors"]


def test_a_well_made_cursor_that_names_no_booking_of_ours_begins_there(api: Api) -> None:
    raw = bytes(16)
    answer = api.ask("GET", f"/bookings?cursor={_cursor(raw + zlib.crc32(raw).to_bytes(4, 'big'))}")
    assert (answer.status_code, answer.json) == (200, {"data": []})


def test_the_summary_adds_up(api: Api, event_id: str) -> None:
    api.confirm(api.reserve(event_id, 3).json["booking_id"])
    api.reserve(event_id, 2)
    assert api.ask("GET", f"/bookings/summary?event_id={event_id}").json == {
        "event_id": event_id,
        "held": 2,
        "confirmed": 3,
        "allowed": 10,
        "remaining": 5,
    }
    refused(api.ask("GET", "/bookings/summary?event_id=none"), 404, "EVENT_NOT_FOUND")
    refused(api.ask("GET", "/bookings/summary"), 422, "VALIDATION_ERROR")


def test_the_inventory_compares_both_stores_for_operators_only(api: Api, event_id: str) -> None:
    api.confirm(api.reserve(event_id, 3).json["booking_id"])
    (zone,) = api.ask("GET", f"/admin/inventory?event_id={event_id}").json["data"]
    assert (zone["redis"]["confirmed"], zone["postgres"]["confirmed"]) == (3, 3)
    assert zone["drift"] == {"capacity": 0, "confirmed": 0, "held": 0}
    refused(api.ask("GET", "/admin/inventory", Authorization="Bearer somebody"), 403, "FORBIDDEN")


def test_a_capacity_goes_up_and_down_but_not_below_what_is_in_use(api: Api, event_id: str) -> None:
    api.confirm(api.reserve(event_id, 3).json["booking_id"])
    api.reserve(event_id, 2)
    in_use = refused(_put_zone(api, event_id, 4), 409, "CAPACITY_IN_USE")
    assert in_use.json["in_use"] == 5
    assert _put_zone(api, event_id, 6).status_code == 200
    assert api.seats(event_id) == (1, 2, 3)
    assert _put_zone(api, event_id, 20).status_code == 200
    assert api.seats(event_id) == (15, 2, 3)


def test_history_of_somebody_elses_booking_does_not_exist(api: Api, bob: Api, event_id: str) -> None:
    booking_id = api.reserve(event_id).json["booking_id"]
    for path in (f"/bookings/{booking_id}/history", f"/bookings/{booking_id}/extend", f"/bookings/{booking_id}/cancel"):
        method = "GET" if path.endswith("history") else "POST"
        refused(bob.ask(method, path), 404, "RESERVATION_NOT_FOUND")
    (reserved,) = api.ask("GET", f"/bookings/{booking_id}/history").json["data"]
    assert (reserved["status"], reserved["cause"]) == ("reserved", "reserve")
