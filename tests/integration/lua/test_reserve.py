"""reserve.lua on a real Redis."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.domain.errors import Refusal
from app.domain.model import Seats
from tests.support.seats import HOLD_SECONDS, PRICE_MINOR, Sale

OpenEvent = Callable[..., Sale]


def test_seats_are_held_until_the_deadline(sale: Sale) -> None:
    held = sale.reserve(quantity=3)
    assert held.booking.deadline_ms == sale.clock.ms + HOLD_SECONDS * 1000
    assert held.expires_in_ms == HOLD_SECONDS * 1000
    assert held.booking.unit_price_minor == PRICE_MINOR
    assert sale.seats() == Seats(capacity=10, confirmed=0, held=3, available=7)


def test_fewer_seats_than_asked_for_are_refused_and_told(sale: Sale) -> None:
    sale.reserve("ann", 8)
    refused = sale.refused("INSUFFICIENT_SEATS", sale.reserve, "bob", 3)
    assert refused.extensions == {"available": 2}
    assert sale.seats().held == 8


def test_the_last_seat_is_sold_once_in_a_race(open_event: OpenEvent) -> None:
    sale = open_event(capacity=1)
    outcomes = _race(lambda n: sale.reserve(f"user-{n}").booking.status, 100)
    assert outcomes == {"reserved": 1, "INSUFFICIENT_SEATS": 99}
    assert sale.seats().available == 0


def test_control_the_same_race_against_get_then_set_oversells(open_event: OpenEvent) -> None:
    sale = open_event(capacity=1)
    redis, counter = sale.shop.redis, f"control:{sale.event_id}"
    redis.command("SET", counter, 1)
    everybody_has_looked = threading.Barrier(8)

    def get_then_set(_: int) -> str:
        available = int(redis.command("GET", counter))
        everybody_has_looked.wait(timeout=5)
        if available < 1:
            return "INSUFFICIENT_SEATS"
        redis.command("SET", counter, available - 1)
        return "reserved"

    assert _race(get_then_set, 8)["reserved"] > 1


def test_a_key_used_again_replays_the_first_answer(sale: Sale) -> None:
    first = sale.reserve(idempotency_key="k")
    again = sale.reserve(idempotency_key="k")
    assert again.replayed
    assert not first.replayed
    assert again.booking == first.booking
    assert sale.seats().held == 1


def test_fifty_first_requests_at_once_with_one_key_hold_one_seat(sale: Sale) -> None:
    ids = _race(lambda _: sale.reserve(idempotency_key="k").booking.booking_id, 50)
    assert len(ids) == 1
    assert sale.seats().held == 1


def test_a_key_with_another_payload_is_refused(sale: Sale) -> None:
    sale.reserve(quantity=1, idempotency_key="k")
    sale.refused("IDEMPOTENCY_KEY_REUSED", sale.reserve, "ann", 2, idempotency_key="k")
    assert sale.seats().held == 1


def test_a_key_belongs_to_its_user_and_event(open_event: OpenEvent) -> None:
    one, other = open_event(), open_event()
    ids = {
        one.reserve("ann", idempotency_key="k").booking.booking_id,
        one.reserve("bob", idempotency_key="k").booking.booking_id,
        other.reserve("ann", idempotency_key="k").booking.booking_id,
    }
    assert len(ids) == 3


def test_a_refusal_is_not_stored_under_its_key(open_event: OpenEvent) -> None:
    sale = open_event(capacity=1)
    first = sale.reserve("ann")
    sale.refused("INSUFFICIENT_SEATS", sale.reserve, "bob", idempotency_key="k")
    sale.shop.release("ann", first.booking.booking_id)
    assert not sale.reserve("bob", idempotency_key="k").replayed


def test_the_first_answer_is_replayed_even_when_the_reservation_has_ended(sale: Sale) -> None:
    first = sale.reserve(idempotency_key="k")
    sale.shop.release("ann", first.booking.booking_id)
    assert sale.reserve(idempotency_key="k").booking.booking_id == first.booking.booking_id
    assert sale.seats().held == 0


def test_a_users_limit_counts_what_is_held_and_what_is_confirmed(open_event: OpenEvent) -> None:
    sale = open_event(max_per_user=3)
    confirmed = sale.reserve(quantity=1).booking.booking_id
    sale.shop.confirm("ann", confirmed, None)
    sale.reserve(quantity=1)
    refused = sale.refused("MAX_TICKETS_EXCEEDED", sale.reserve, "ann", 2)
    assert refused.extensions == {"limit": 3, "taken": 2}
    sale.reserve(quantity=1)


def test_a_price_that_has_changed_is_refused_and_told(sale: Sale) -> None:
    sale.reserve(seen_price=150_0000)
    refused = sale.refused("PRICE_CHANGED", sale.reserve, seen_price=149_0000)
    assert refused.extensions == {"current_price": "150.00", "currency": "THB"}


def test_nothing_is_sold_outside_the_window(open_event: OpenEvent) -> None:
    sale = open_event()
    now = sale.clock.ms
    early = open_event(opens_at_ms=now + 1000, closes_at_ms=now + 5000)
    early.refused("SALE_CLOSED", early.reserve)
    sale.clock.advance(1)
    early.reserve()
    sale.clock.advance(4)
    early.refused("SALE_CLOSED", early.reserve)


def test_more_than_the_event_admits_at_once_is_a_validation_error(open_event: OpenEvent) -> None:
    sale = open_event(max_per_reservation=2)
    sale.refused("VALIDATION_ERROR", sale.reserve, "ann", 3)


def test_an_unknown_zone_and_an_unknown_event_are_told_apart(sale: Sale) -> None:
    sale.refused("ZONE_NOT_FOUND", sale.reserve, zone="nowhere")
    sale.event_id = "no-such-event"
    sale.refused("EVENT_NOT_FOUND", sale.reserve)


def test_expired_seats_are_sold_again_without_any_worker(open_event: OpenEvent) -> None:
    sale = open_event(capacity=2)
    sale.reserve("ann", 2)
    sale.refused("INSUFFICIENT_SEATS", sale.reserve, "bob")
    sale.clock.advance(HOLD_SECONDS)
    sale.reserve("bob", 2)
    assert sale.seats() == Seats(capacity=2, confirmed=0, held=2, available=0)


def test_a_users_expired_seats_no_longer_count_against_the_limit_without_any_worker(open_event: OpenEvent) -> None:
    sale = open_event(max_per_user=2, capacity=100)
    sale.reserve("ann", 2)
    sale.clock.advance(HOLD_SECONDS)
    sale.reserve("ann", 2)
    assert sale.seats().held == 2


def test_due_seats_count_as_available_before_anybody_has_swept(sale: Sale) -> None:
    sale.reserve(quantity=4)
    sale.clock.advance(HOLD_SECONDS)
    assert sale.seats() == Seats(capacity=10, confirmed=0, held=0, available=10)


def test_a_full_outbox_stops_selling_and_takes_nothing(sale: Sale) -> None:
    sale.reserve()
    sale.shop.reservations._outbox_max = 1
    try:
        sale.refused("SERVICE_UNAVAILABLE", sale.reserve, "bob")
    finally:
        sale.shop.reservations._outbox_max = 1_000_000
    assert sale.seats().held == 1


def _race(verb: Callable[[int], str], clients: int) -> Counter[str]:
    """Calls `verb` from so many threads at once; counts what they answer, or by which code they are refused."""
    start = threading.Barrier(min(clients, 32))

    def one(n: int) -> str:
        if n < 32:
            start.wait(timeout=10)
        try:
            return verb(n)
        except Refusal as refused:
            return refused.kind.code

    with ThreadPoolExecutor(min(clients, 32)) as pool:
        return Counter(pool.map(one, range(clients)))


@pytest.mark.parametrize("quantity", [1, 10])
def test_available_plus_held_is_the_capacity(sale: Sale, quantity: int) -> None:
    sale.reserve(quantity=quantity)
    seats = sale.seats()
    assert seats.available + seats.held + seats.confirmed == seats.capacity
