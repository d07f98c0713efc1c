"""Confirms that come at the same time share a transaction, on real Redis and Postgres."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest

from app.domain.errors import Refusal
from app.domain.model import Booking, Pin, Seats
from app.wiring import Wiring, build_worker
from dev.postgres import Postgres
from tests.support.seats import Clock, Sale

OpenEvent = Callable[..., Sale]


def _reserve(sale: Sale, count: int) -> list[Booking]:
    with ThreadPoolExecutor(20) as pool:
        return [held.booking for held in pool.map(lambda n: sale.reserve(f"user-{n}"), range(count))]


def _confirm(sale: Sale, bookings: Sequence[Booking]) -> list[Booking | Refusal]:
    """All at once, each with a payment of its own."""

    def confirm(booking: Booking) -> Booking | Refusal:
        try:
            return sale.shop.confirm(booking.user_id, booking.booking_id, f"card of {booking.user_id}")
        except Refusal as refused:
            return refused

    with ThreadPoolExecutor(len(bookings)) as pool:
        return list(pool.map(confirm, bookings))


def _codes(answers: Sequence[Booking | Refusal]) -> list[str]:
    return [answer.kind.code if isinstance(answer, Refusal) else answer.status for answer in answers]


def _transactions(sale: Sale) -> int:
    """In which the confirmations of this event were written."""
    query = (
        "SELECT count(DISTINCT h.xmin::text) FROM booking.booking_history AS h "
        "JOIN booking.bookings AS b USING (booking_id) WHERE h.status = 'confirmed' AND b.event_id = %s"
    )
    return sale.rows(query, sale.event_id)[0][0]


def test_two_hundred_confirms_at_once_take_few_commits_and_each_has_its_own_answer(open_event: OpenEvent) -> None:
    sale = open_event(capacity=300)
    bookings = _reserve(sale, 200)
    answers = _confirm(sale, bookings)
    assert _codes(answers) == ["confirmed"] * 200
    for booking, answer in zip(bookings, answers, strict=True):
        assert isinstance(answer, Booking)
        assert (answer.booking_id, answer.user_id, answer.quantity) == (booking.booking_id, booking.user_id, 1)
        assert answer.payment_id == f"card of {booking.user_id}"
        assert answer == sale.shop.ledger.get_booking(booking.booking_id)
    assert len({answer.confirmation_code for answer in answers if isinstance(answer, Booking)}) == 200
    assert _transactions(sale) <= 100
    assert sale.seats() == Seats(capacity=300, confirmed=200, held=0, available=100)


def test_one_that_is_refused_among_fifty_is_the_only_one(open_event: OpenEvent) -> None:
    sale = open_event(capacity=60)
    bookings = _reserve(sale, 50)
    void, ended = bookings[17], bookings[23]
    sale.record()
    with sale.shop.postgres.session(5) as owner:
        owner.execute("RESET ROLE")
        owner.execute("UPDATE booking.bookings SET void_pin = 9 WHERE booking_id = %s", [void.booking_id])
        owner.execute(
            "UPDATE booking.bookings SET status = 'expired', ended_at = clock_timestamp() WHERE booking_id = %s",
            [ended.booking_id],
        )
    codes = _codes(_confirm(sale, bookings))
    expected = {17: "SERVICE_UNAVAILABLE", 23: "RESERVATION_NOT_FOUND"}
    assert codes == [expected.get(n, "confirmed") for n in range(50)]
    assert sale.shop.ledger.zone_facts(sale.event_id, "A").zones[0]["confirmed"] == 48


@pytest.fixture
def hasty(shop: Wiring, clock: Clock, sale: Sale) -> Iterator[Sale]:
    """The same sale in a process that waits for Postgres as long as a web process does."""
    wiring = replace(build_worker(shop.settings), now=clock, statement_timeout_s=0.8)
    wiring.start()
    yield replace(sale, shop=wiring)
    wiring.close()


def _are_told_in_time(sale: Sale, bookings: Sequence[Booking]) -> None:
    began = time.monotonic()
    assert _codes(_confirm(sale, bookings)) == ["SERVICE_UNAVAILABLE"] * len(bookings)
    assert time.monotonic() - began < 5  # 0.8, and what a machine under load adds


def _are_confirmed_once(sale: Sale, bookings: Sequence[Booking]) -> None:
    assert _codes(_confirm(sale, bookings)) == ["confirmed"] * len(bookings)
    assert sale.seats() == Seats(capacity=10, confirmed=10, held=0, available=0)


def test_a_hot_row_that_somebody_holds_too_long_is_told_to_all_who_wait_for_it(hasty: Sale) -> None:
    bookings = _reserve(hasty, 10)
    with hasty.shop.postgres.session(5) as other:
        other.execute("RESET ROLE")
        with other.transaction():
            other.execute("SELECT 1 FROM booking.zones WHERE event_id = %s FOR UPDATE", [hasty.event_id])
            _are_told_in_time(hasty, bookings)
    _are_confirmed_once(hasty, bookings)


def test_a_postgres_that_hangs_is_told_to_all_and_what_it_does_late_is_found_by_the_retry(
    hasty: Sale, postgres: Postgres
) -> None:
    bookings = _reserve(hasty, 10)
    postgres.pause()
    try:
        _are_told_in_time(hasty, bookings)
    finally:
        postgres.resume()
    _are_confirmed_once(hasty, bookings)


def test_an_error_that_the_data_of_one_causes_is_that_ones_alone(sale: Sale) -> None:
    """A pin of a zone that does not exist cannot be written down: the others are."""
    bookings = _reserve(sale, 9)
    pins = [sale.shop.reservations.confirm(b.booking_id, b.user_id, None) for b in bookings]
    pins[4] = replace(pins[4], booking=replace(pins[4].booking, zone_id="nowhere"))

    def decide(pin: Pin) -> str:
        try:
            return sale.shop.confirm.decide(pin).outcome
        except psycopg.errors.ForeignKeyViolation:
            return "cannot be written"

    with ThreadPoolExecutor(9) as pool:
        outcomes = list(pool.map(decide, pins))
    assert outcomes == ["CONFIRMED"] * 4 + ["cannot be written"] + ["CONFIRMED"] * 4
