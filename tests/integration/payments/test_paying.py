"""confirm with a payment provider: what each of its behaviours comes to, in both stores and in its own ledger."""

import time
from typing import Any

import pytest

from app.domain.ids import shard_of_event
from app.domain.model import Pin, Seats, Zone
from app.domain.payments import Outcome, Payment
from dev.provider import Provider
from tests.support.controls import altered_function, altered_script, goes_red
from tests.support.seats import HOLD_SECONDS, Sale
from tests.support.till import disagreements, go_on, pay_of, states, steps

FREE = Seats(capacity=10, confirmed=0, held=0, available=10)
SOLD = Seats(capacity=10, confirmed=2, held=0, available=8)
HELD = Seats(capacity=10, confirmed=0, held=2, available=8)


def _reserved(sale: Sale) -> str:
    return sale.reserve(quantity=2).booking.booking_id


def _sweep(sale: Sale) -> None:
    sale.shop.expire(shard_of_event(sale.event_id, len(sale.shop.shards)))


def test_a_captured_payment_is_a_confirmed_booking_and_asked_again_the_same(sale: Sale, provider: Provider) -> None:
    booking_id = _reserved(sale)
    booking = sale.shop.confirm("ann", booking_id, "approve-1")
    assert (booking.status, booking.payment_id) == ("confirmed", "approve-1")
    assert sale.shop.confirm("ann", booking_id, "approve-1").confirmation_code == booking.confirmation_code
    sale.refused("ALREADY_CONFIRMED", sale.shop.confirm, "ann", booking_id, "approve-2")
    assert sale.shop.get("ann", booking_id).payment_state == "captured"
    assert steps(sale, booking_id) == [["intent", "captured"]]
    assert sale.seats() == SOLD
    assert disagreements(sale, provider) == []


@pytest.mark.parametrize("follower", ["the client, again", "the saga"])
def test_a_hold_is_let_go_with_the_count_that_takes_its_place_whoever_comes_after_a_crash(
    sale: Sale, follower: str
) -> None:
    """The web process dies between the commit and settle, and no worker has heard of it yet."""
    booking_id, payments = _reserved(sale), sale.shop.payments
    pin = sale.shop.reservations.confirm(booking_id, "ann", "approve-1")
    payment = payments.open_payment(pin, 60_000).payment
    assert payment
    assert payments.capture_payment(payment, pin, None).outcome == "CONFIRMED"
    assert sale.seats() == HELD
    if follower == "the saga":
        assert pay_of(sale).conclude(payment, Outcome("captured")).outcome == "CONFIRMED"
    else:
        assert sale.shop.confirm("ann", booking_id, "approve-1").status == "confirmed"
    assert sale.seats() == SOLD


def test_a_declined_payment_leaves_the_reservation_and_another_card_may_be_tried(
    sale: Sale, provider: Provider
) -> None:
    booking_id = _reserved(sale)
    refused = sale.refused("PAYMENT_DECLINED", sale.shop.confirm, "ann", booking_id, "decline-1")
    assert refused.detail == "insufficient funds"
    seen = sale.shop.get("ann", booking_id)
    assert (seen.status, seen.payment_state, sale.seats()) == ("reserved", "declined", HELD)
    assert sale.shop.confirm("ann", booking_id, "approve-1").status == "confirmed"
    assert steps(sale, booking_id) == [["intent", "declined"], ["intent", "captured"]]
    assert disagreements(sale, provider) == []


def test_the_same_card_again_is_another_attempt_with_a_key_of_its_own(sale: Sale, provider: Provider) -> None:
    booking_id = _reserved(sale)
    for _ in range(2):
        sale.refused("PAYMENT_DECLINED", sale.shop.confirm, "ann", booking_id, "decline-1")
    tried = [attempt.attempt_id for attempt in provider.attempts() if attempt.booking_id == booking_id]
    assert len(set(tried)) == 2
    assert sale.shop.release("ann", booking_id).status == "released"
    assert sale.seats() == FREE


def test_a_card_that_is_declined_in_another_call_meanwhile_is_declined_in_this_one(sale: Sale) -> None:
    booking_id = _reserved(sale)
    pin = sale.shop.reservations.confirm(booking_id, "ann", "decline-1")
    assert sale.shop.payments.open_payment(pin, 60_000).payment
    with sale.shop.postgres.session(5) as connection:  # its pins are void, and the next one is before we have it
        connection.execute("RESET ROLE")
        connection.execute("UPDATE booking.payments SET state = 'declined' WHERE booking_id = %s", [booking_id])
        connection.execute("UPDATE booking.bookings SET void_pin = 9 WHERE booking_id = %s", [booking_id])
    sale.refused("PAYMENT_DECLINED", sale.shop.confirm, "ann", booking_id, "decline-1")


def test_a_declined_payment_after_the_deadline_ends_the_reservation(sale: Sale) -> None:
    booking_id = _reserved(sale)
    sale.shop.confirm("ann", booking_id, "timeout-then-fail-1")
    sale.clock.advance(HOLD_SECONDS)
    go_on(sale)
    assert sale.shop.get("ann", booking_id).status == "expired"
    assert sale.seats() == FREE


def test_an_outcome_not_known_in_time_is_pending_and_the_saga_finds_it_out(sale: Sale, provider: Provider) -> None:
    booking_id = _reserved(sale)
    pending = sale.shop.confirm("ann", booking_id, "timeout-then-succeed-1")
    assert (pending.status, pending.payment_state) == ("reserved", "pending")
    assert sale.shop.get("ann", booking_id).payment_state == "pending"
    go_on(sale)
    assert sale.shop.get("ann", booking_id).status == "confirmed"
    assert steps(sale, booking_id) == [["intent", "pending", "captured"]]
    assert sale.seats() == SOLD
    assert disagreements(sale, provider) == []


def test_while_the_outcome_is_unknown_the_seats_neither_expire_nor_go_back(sale: Sale) -> None:
    booking_id = _reserved(sale)
    sale.shop.confirm("ann", booking_id, "hang-1")
    sale.clock.advance(HOLD_SECONDS * 2)
    for _ in range(2):
        _sweep(sale)
    assert sale.shop.get("ann", booking_id).status == "reserved"
    for verb in (sale.shop.release, lambda *who: sale.shop.confirm(*who, "approve-1")):
        sale.refused("CONFIRMATION_IN_PROGRESS", verb, "ann", booking_id)
    assert sale.seats() == HELD
    go_on(sale, bound_ms=-1)


def test_asked_again_while_pending_it_is_the_same_attempt(sale: Sale, provider: Provider) -> None:
    booking_id = _reserved(sale)
    assert sale.shop.confirm("ann", booking_id, "lose-answer-1").payment_state == "pending"
    assert sale.shop.confirm("ann", booking_id, "lose-answer-1").status == "confirmed"
    assert states(sale) == ["captured"]
    assert disagreements(sale, provider) == []


def test_past_its_bound_a_payment_is_voided_and_the_reservation_stands(sale: Sale, provider: Provider) -> None:
    booking_id = _reserved(sale)
    sale.shop.confirm("ann", booking_id, "hang-1")
    go_on(sale, bound_ms=-1)
    assert steps(sale, booking_id) == [["intent", "pending", "voiding", "voided"]]
    assert (sale.shop.get("ann", booking_id).status, sale.seats()) == ("reserved", HELD)
    assert sale.shop.confirm("ann", booking_id, "approve-1").status == "confirmed"
    assert disagreements(sale, provider) == []


def test_however_long_it_is_put_off_a_payment_is_given_up_when_its_bound_is_over(sale: Sale) -> None:
    booking_id = _reserved(sale)
    sale.shop.confirm("ann", booking_id, "hang-1")
    go_on(sale, bound_ms=2_000, jitter=lambda: 600.0)  # the next look would be minutes later
    assert steps(sale, booking_id) == [["intent", "pending", "voiding", "voided"]]


def test_captured_although_it_was_given_up_it_is_honoured_while_the_reservation_stands(
    sale: Sale, provider: Provider
) -> None:
    booking_id = _reserved(sale)
    sale.shop.confirm("ann", booking_id, "webhook-after-expiry-1")
    go_on(sale, bound_ms=-1)
    assert steps(sale, booking_id) == [["intent", "pending", "voiding", "captured"]]
    assert sale.shop.get("ann", booking_id).status == "confirmed"
    assert sale.seats() == SOLD
    assert disagreements(sale, provider) == []


def test_captured_although_the_seats_were_released_it_is_refunded(sale: Sale, provider: Provider) -> None:
    booking_id = _reserved(sale)
    sale.shop.confirm("ann", booking_id, "webhook-after-expiry-1")
    (payment,) = _wait_and_claim(sale)
    pay_of(sale, bound_ms=-1).step(payment)
    assert states(sale) == ["voiding"]
    sale.shop.release("ann", booking_id)
    sale.record()
    go_on(sale)
    assert states(sale) == ["refunded"]
    assert sale.seats() == FREE
    assert disagreements(sale, provider) == []


def _expired_and_captured_later(sale: Sale) -> str:
    """Given up, expired, and recorded as that; the provider captures in the end, and cannot void."""
    booking_id = _reserved(sale)
    sale.shop.confirm("ann", booking_id, "webhook-after-expiry-1")
    (payment,) = _wait_and_claim(sale)
    pay_of(sale, bound_ms=-1).step(payment)
    sale.clock.advance(HOLD_SECONDS)
    _sweep(sale)
    sale.record()
    assert sale.shop.get("ann", booking_id).status == "expired"
    return booking_id


def test_captured_although_the_reservation_has_expired_the_payer_gets_the_same_seats_anew(
    sale: Sale, provider: Provider
) -> None:
    booking_id = _expired_and_captured_later(sale)
    go_on(sale)
    old = sale.shop.get("ann", booking_id)
    assert (old.status, old.payment_state) == ("expired", "captured")
    new = sale.shop.get("ann", old.paid_booking_id or "")
    assert (new.status, new.quantity, new.unit_price_minor) == ("confirmed", old.quantity, old.unit_price_minor)
    assert sale.seats() == SOLD
    assert disagreements(sale, provider) == []


def test_captured_although_it_has_expired_and_all_is_sold_it_is_refunded(sale: Sale, provider: Provider) -> None:
    booking_id = _expired_and_captured_later(sale)
    sale.shop.confirm("bob", sale.reserve("bob", 9).booking.booking_id, "approve-1")
    go_on(sale)
    assert steps(sale, booking_id) == [["intent", "pending", "voiding", "refunding", "refunded"]]
    assert disagreements(sale, provider) == []


def test_captured_although_it_has_expired_and_the_price_has_changed_it_is_refunded(
    sale: Sale, provider: Provider
) -> None:
    booking_id = _expired_and_captured_later(sale)
    sale.shop.open_zone(Zone(event_id=sale.event_id, zone_id="A", name="A", capacity=10, price_minor=1, currency="THB"))
    go_on(sale)
    assert states(sale, booking_id) == ["refunded"]
    assert disagreements(sale, provider) == []


def test_captured_after_another_card_has_paid_it_is_refunded(sale: Sale, provider: Provider) -> None:
    booking_id = _reserved(sale)
    sale.shop.confirm("ann", booking_id, "webhook-after-expiry-1")
    (payment,) = _wait_and_claim(sale)
    pay_of(sale, bound_ms=-1).step(payment)
    assert sale.shop.confirm("ann", booking_id, "approve-1").status == "confirmed"
    go_on(sale)
    assert states(sale) == ["refunded", "captured"]
    assert disagreements(sale, provider) == []


def test_a_cancelled_booking_is_refunded_however_often_the_provider_refuses(sale: Sale, provider: Provider) -> None:
    booking_id = _reserved(sale)
    sale.shop.confirm("ann", booking_id, "refuse-refunds-2-1")
    assert sale.shop.cancel("ann", booking_id, None).status == "cancelled"
    assert sale.seats() == FREE
    assert sale.shop.get("ann", booking_id).payment_state == "refunding"
    go_on(sale)
    assert steps(sale, booking_id) == [["intent", "captured", "refunding", "refunded"]]
    assert sale.shop.cancel("ann", booking_id, None).status == "cancelled"
    assert states(sale) == ["refunded"]
    assert disagreements(sale, provider) == []


def test_what_costs_nothing_needs_no_payment(sale: Sale, provider: Provider) -> None:
    free = Zone(event_id=sale.event_id, zone_id="B", name="B", capacity=5, price_minor=0, currency="THB")
    sale.shop.open_zone(free)
    booking_id = sale.reserve(zone="B").booking.booking_id
    assert sale.shop.confirm("ann", booking_id, None).status == "confirmed"
    refused = sale.refused("VALIDATION_ERROR", sale.shop.confirm, "ann", _reserved(sale), None)
    assert list(refused.extensions["errors"]) == ["payment_id"]
    assert states(sale) == []


def _declined_and_not_unpinned(sale: Sale) -> tuple[str, Pin]:
    """Postgres has voided the pin, and whoever was to take it back in Redis has died."""
    booking_id = _reserved(sale)
    pin = sale.shop.reservations.confirm(booking_id, "ann", "decline-1")
    payment = pay_of(sale).payments.open_payment(pin, 0).payment
    assert payment
    assert pay_of(sale).payments.void_pin(payment, pin, "declined", None, None) == "VOIDED"
    return booking_id, pin


def test_a_void_pin_that_nobody_took_back_does_not_stand_in_the_way_of_a_retry(sale: Sale) -> None:
    booking_id, pin = _declined_and_not_unpinned(sale)
    (late,) = sale.shop.ledger.confirm_bookings([pin])
    assert late.outcome == "SERVICE_UNAVAILABLE"
    sale.refused("PAYMENT_DECLINED", sale.shop.confirm, "ann", booking_id, "decline-1")
    assert sale.shop.confirm("ann", booking_id, "approve-1").status == "confirmed"


def test_a_void_pin_that_nobody_took_back_is_taken_back_by_the_sweeper(sale: Sale) -> None:
    booking_id, _ = _declined_and_not_unpinned(sale)
    sale.clock.advance(sale.shop.expire.pin_limit_ms / 1000)
    _sweep(sale)
    assert (sale.shop.get("ann", booking_id).status, sale.seats()) == ("reserved", HELD)
    assert sale.shop.release("ann", booking_id).status == "released"


def _told_twice(sale: Sale, outcome: Outcome) -> str:
    """Two calls for one payment, a double click or a retry beside the saga; both hear the provider's last word."""
    booking_id = _reserved(sale)
    payment = pay_of(sale).payments.open_payment(sale.shop.reservations.confirm(booking_id, "ann", "card-1"), 0).payment
    assert payment
    for _ in range(2):
        assert pay_of(sale).conclude(payment, outcome).outcome == "PAYMENT_DECLINED"
    return booking_id


@pytest.mark.parametrize("state", ["declined", "failed", "voided"])
def test_a_payment_whose_end_is_told_twice_leaves_the_reservation_to_another_card(
    sale: Sale, provider: Provider, state: Any
) -> None:
    booking_id = _told_twice(sale, Outcome(state))
    assert sale.shop.confirm("ann", booking_id, "approve-1").status == "confirmed"
    assert steps(sale, booking_id) == [["intent", state], ["intent", "captured"]]


def test_control_a_pin_of_a_payment_that_is_closed_stays_and_goes_red(sale: Sale, database: str) -> None:
    closed = ("(p_pin IS NOT NULL OR NOT v_closed AND", "(NOT v_closed AND")
    with altered_function(database, "void_pin", *closed):
        booking_id = _told_twice(sale, Outcome("declined"))
        with goes_red("pinned for a payment that is closed"):
            assert not sale.shop.reservations.get(booking_id, "ann").pinned, "pinned for a payment that is closed"


def test_an_unpin_of_another_number_changes_nothing(sale: Sale) -> None:
    booking_id = _reserved(sale)
    pin = sale.shop.reservations.confirm(booking_id, "ann", "card")
    sale.shop.reservations.unpin(booking_id, pin.number + 1)
    sale.refused("CONFIRMATION_IN_PROGRESS", sale.shop.release, "ann", booking_id)
    for _ in range(2):
        sale.shop.reservations.unpin(booking_id, pin.number)
        assert sale.seats() == HELD
    assert sale.shop.release("ann", booking_id).status == "released"


def test_an_open_payment_comes_back_from_a_rebuild_with_its_pin(sale: Sale, provider: Provider) -> None:
    booking_id = _reserved(sale)
    sale.shop.confirm("ann", booking_id, "timeout-then-succeed-1")
    _rebuild(sale)
    sale.refused("CONFIRMATION_IN_PROGRESS", sale.shop.release, "ann", booking_id)
    sale.clock.advance(HOLD_SECONDS * 2)
    _sweep(sale)
    go_on(sale)
    assert sale.shop.get("ann", booking_id).status == "confirmed"
    assert disagreements(sale, provider) == []


def _rebuild(sale: Sale) -> None:
    shard = shard_of_event(sale.event_id, len(sale.shop.shards))
    sale.shop.close_shard(shard)
    assert sale.shop.rebuild()(shard)
    sale.shop.epochs.refresh()


def _wait_and_claim(sale: Sale) -> list[Payment]:
    deadline = time.monotonic() + 10
    while not (claimed := pay_of(sale).claim(9)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return claimed


def test_control_pins_that_end_by_time_lose_a_paid_customers_seats(
    sale: Sale, database: str, provider: Provider
) -> None:
    paying = ("v_booking.status = 'reserved' AND EXISTS", "false AND EXISTS")
    booking_id = _reserved(sale)
    sale.shop.confirm("ann", booking_id, "timeout-then-succeed-1")
    with altered_function(database, "settle_bookings", *paying), goes_red("expired"):
        sale.clock.advance(HOLD_SECONDS)
        _sweep(sale)
        assert sale.shop.get("ann", booking_id).status == "reserved"
    go_on(sale)


def test_control_an_unpin_that_does_not_look_at_the_number_goes_red(sale: Sale) -> None:
    booking_id = _reserved(sale)
    pin = sale.shop.reservations.confirm(booking_id, "ann", "card")
    with altered_script("unpin", "or r.pin ~= tonumber(ARGV[4])", ""), goes_red("reserved again"):
        sale.shop.reservations.unpin(booking_id, pin.number + 1)
        assert sale.shop.reservations.get(booking_id, "ann").pinned, "reserved again"
