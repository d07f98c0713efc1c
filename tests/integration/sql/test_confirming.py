"""confirm_bookings on a real Postgres."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest

from app.domain.model import Seats, Zone
from tests.support.seats import PRICE_MINOR, Sale

OpenEvent = Callable[..., Sale]


def _pins(sale: Sale, users: int, payment: str | None = None) -> list:
    bookings = [sale.reserve(f"user-{n}").booking for n in range(users)]
    return [sale.shop.reservations.confirm(b.booking_id, b.user_id, payment) for b in bookings]


def test_a_confirmed_booking_is_in_every_table(sale: Sale) -> None:
    booking_id = sale.reserve(quantity=2, idempotency_key="k").booking.booking_id
    booking = sale.shop.confirm("ann", booking_id, "card-1")
    assert (booking.status, booking.payment_id, len(booking.confirmation_code or "")) == ("confirmed", "card-1", 12)
    assert sale.seats() == Seats(capacity=10, confirmed=2, held=0, available=8)
    sale.record()
    assert sale.history(booking_id) == [(1, "reserved", "reserve"), (2, "confirmed", "confirm")]
    users = "SELECT confirmed_seats, seats_limit FROM booking.user_seats WHERE event_id = %s"
    assert sale.rows(users, sale.event_id) == [(2, 10)]
    assert sale.rows("SELECT type FROM booking.outbox WHERE key = %s", booking_id) == [("booking.confirmed",)]


def test_confirming_again_with_the_same_payment_answers_the_same(sale: Sale) -> None:
    booking_id = sale.reserve().booking.booking_id
    first = sale.shop.confirm("ann", booking_id, "card-1")
    assert sale.shop.confirm("ann", booking_id, "card-1") == first
    sale.refused("ALREADY_CONFIRMED", sale.shop.confirm, "ann", booking_id, "card-2")
    sale.refused("ALREADY_CONFIRMED", sale.shop.release, "ann", booking_id)
    assert sale.seats().confirmed == 1


def test_a_confirm_that_postgres_has_but_redis_has_not_settled_is_answered_whatever_the_payment(sale: Sale) -> None:
    booking_id = sale.reserve().booking.booking_id
    pin = sale.shop.reservations.confirm(booking_id, "ann", "card-1")
    sale.shop.ledger.confirm_bookings([pin])  # and the web process dies before it settles
    sale.refused("ALREADY_CONFIRMED", sale.shop.confirm, "ann", booking_id, "card-2")
    sale.refused("ALREADY_CONFIRMED", sale.shop.release, "ann", booking_id)
    assert sale.shop.get("ann", booking_id).status == "confirmed"
    assert sale.shop.confirm("ann", booking_id, "card-1").status == "confirmed"
    assert sale.seats() == Seats(capacity=10, confirmed=1, held=0, available=9)


def test_one_refused_confirm_does_not_spoil_the_batch(sale: Sale) -> None:
    pins = _pins(sale, 4)
    pins[1] = replace(pins[1], epoch=pins[1].epoch - 1)
    pins[2] = replace(pins[2], booking=replace(pins[2].booking, quantity=11))
    outcomes = {d.booking_id: d.outcome for d in sale.shop.ledger.confirm_bookings(pins)}
    assert [outcomes[pin.booking.booking_id] for pin in pins] == [
        "CONFIRMED",
        "SERVICE_UNAVAILABLE",
        "INSUFFICIENT_SEATS",
        "CONFIRMED",
    ]
    assert sale.shop.ledger.zone_facts(sale.event_id, "A").zones[0]["confirmed"] == 2


def test_a_pin_that_comes_twice_in_a_batch_is_confirmed_once(sale: Sale) -> None:
    first, second = _pins(sale, 2)
    decisions = sale.shop.ledger.confirm_bookings([first, second, first])
    assert [d.outcome for d in decisions] == ["CONFIRMED"] * 3
    assert {d.learned.zones[0]["confirmed"] for d in decisions} == {2}
    assert sale.rows("SELECT count(*) FROM booking.outbox WHERE key = %s", first.booking.booking_id) == [(1,)]


def test_what_does_not_fit_leaves_its_seats_to_those_behind_it(open_event: OpenEvent) -> None:
    sale = open_event(capacity=9, max_per_user=9)
    quantities = [4, 3, 5, 2]
    in_their_order = sorted(_pins(sale, 4), key=lambda pin: pin.booking.booking_id)
    pins = [
        replace(pin, booking=replace(pin.booking, quantity=quantity))
        for pin, quantity in zip(in_their_order, quantities, strict=True)
    ]
    outcomes = {d.booking_id: d.outcome for d in sale.shop.ledger.confirm_bookings(pins)}
    assert [outcomes[pin.booking.booking_id] for pin in pins] == [
        "CONFIRMED",
        "CONFIRMED",
        "INSUFFICIENT_SEATS",
        "CONFIRMED",
    ]
    assert sale.shop.ledger.zone_facts(sale.event_id, "A").zones[0]["confirmed"] == 9


def test_a_pin_of_an_older_epoch_is_refused_and_leaves_no_row(sale: Sale) -> None:
    (pin,) = _pins(sale, 1)
    (decision,) = sale.shop.ledger.confirm_bookings([replace(pin, epoch=pin.epoch - 1)])
    assert decision.outcome == "SERVICE_UNAVAILABLE"
    assert sale.shop.ledger.get_booking(pin.booking.booking_id) is None


def test_a_voided_pin_is_refused_and_the_next_one_is_not(sale: Sale) -> None:
    (pin,) = _pins(sale, 1)
    sale.record()
    with sale.shop.postgres.session(5) as connection:
        connection.execute("RESET ROLE")
        connection.execute(
            "UPDATE booking.bookings SET void_pin = %s WHERE booking_id = %s", [pin.number, pin.booking.booking_id]
        )
    (late,) = sale.shop.ledger.confirm_bookings([pin])
    (fresh,) = sale.shop.ledger.confirm_bookings([replace(pin, number=pin.number + 1)])
    assert (late.outcome, fresh.outcome) == ("SERVICE_UNAVAILABLE", "CONFIRMED")


def test_a_users_limit_holds_in_postgres_by_itself(open_event: OpenEvent) -> None:
    sale = open_event(max_per_user=2)
    pin = sale.shop.reservations.confirm(sale.reserve(quantity=2).booking.booking_id, "ann", None)
    second = replace(pin, booking=replace(pin.booking, booking_id=sale.reserve("bob").booking.booking_id, quantity=1))
    outcomes = sorted(d.outcome for d in sale.shop.ledger.confirm_bookings([pin, second]))
    assert outcomes == ["CONFIRMED", "MAX_TICKETS_EXCEEDED"]


@pytest.mark.parametrize(
    ("constraint", "statement"),
    [
        ("zones_never_oversold", "UPDATE booking.zones SET confirmed_seats = capacity + 1 WHERE event_id = %s"),
        ("zones_never_oversold", "UPDATE booking.zones SET confirmed_seats = -1 WHERE event_id = %s"),
        ("user_seats_within_limit", "UPDATE booking.user_seats SET confirmed_seats = 11 WHERE event_id = %s"),
    ],
)
def test_the_tables_themselves_refuse_to_oversell(sale: Sale, constraint: str, statement: str) -> None:
    sale.shop.confirm("ann", sale.reserve().booking.booking_id, None)
    with sale.shop.postgres.session(5) as connection:
        connection.execute("RESET ROLE")
        with pytest.raises(psycopg.errors.CheckViolation) as caught:
            connection.execute(statement.encode(), [sale.event_id])
    assert caught.value.diag.constraint_name == constraint


def test_the_application_may_call_functions_and_not_write_tables(sale: Sale) -> None:
    with (
        sale.shop.postgres.session(5) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("UPDATE booking.zones SET capacity = 0 WHERE event_id = %s", [sale.event_id])


def test_a_hundred_confirms_at_once_of_overlapping_batches_do_not_deadlock(open_event: OpenEvent) -> None:
    sale = open_event(capacity=100)
    pins = _pins(sale, 40)
    batches = [pins[n % 20 : n % 20 + 20][:: 1 if n % 2 else -1] for n in range(16)]
    start = threading.Barrier(8)

    def confirm(n: int) -> list[str]:
        if n < 8:
            start.wait(timeout=10)
        return [decision.outcome for decision in sale.shop.ledger.confirm_bookings(batches[n])]

    with ThreadPoolExecutor(8) as pool:
        outcomes = Counter(outcome for batch in pool.map(confirm, range(16)) for outcome in batch)
    assert outcomes == {"CONFIRMED": 320}
    assert sale.shop.ledger.zone_facts(sale.event_id, "A").zones[0]["confirmed"] == len(
        {id(p) for b in batches for p in b}
    )


def test_a_higher_capacity_is_on_sale_at_once(sale: Sale) -> None:
    zone = Zone(event_id=sale.event_id, zone_id="A", name="A", capacity=20, price_minor=PRICE_MINOR, currency="THB")
    assert sale.shop.open_zone(zone) is False
    assert sale.seats() == Seats(capacity=20, confirmed=0, held=0, available=20)


def test_new_terms_of_an_event_reach_its_zones_at_once(sale: Sale) -> None:
    (event, _), *_ = sale.shop.ledger.catalogue(sale.event_id)
    assert sale.shop.open_zone.event(replace(event, max_per_reservation=1, hold_seconds=5)) is False
    sale.refused("VALIDATION_ERROR", sale.reserve, "ann", 2)
    assert sale.reserve().expires_in_ms == 5000
