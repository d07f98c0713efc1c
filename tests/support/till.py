"""What a test asks about payments: Postgres' side, the provider's side, and whether they agree."""

import time
from dataclasses import replace
from typing import Any

from app.services.pay import Pay
from dev.provider import Provider
from tests.support.seats import Sale


def pay_of(sale: Sale, **others: Any) -> Pay:
    """The saga's step; `bound_ms=-1`: every payment is past its bound."""
    assert sale.shop.pay
    return replace(sale.shop.pay, **others)


def go_on(sale: Sale, seconds: float = 10, **others: Any) -> None:
    """What the worker's saga does, until nothing is left to do."""
    pay, deadline = pay_of(sale, **others), time.monotonic() + seconds
    while left := states_left(sale):
        assert time.monotonic() < deadline, f"after {seconds} s still {left}"
        for payment in pay.claim(100):
            pay.step(payment)
        time.sleep(0.02)


def states_left(sale: Sale) -> list[str]:
    return [s for s in states(sale) if s in ("intent", "pending", "voiding", "refunding")]


def states(sale: Sale, booking_id: str | None = None) -> list[str]:
    """Of every attempt for this event, or for one booking, in order."""
    rows = sale.rows(
        "SELECT p.state FROM booking.payments AS p JOIN booking.bookings AS b USING (booking_id) "
        "WHERE b.event_id = %s AND (%s::uuid IS NULL OR p.booking_id = %s) ORDER BY p.payment_no",
        sale.event_id,
        booking_id,
        booking_id,
    )
    return [state for (state,) in rows]


def steps(sale: Sale, booking_id: str) -> list[list[str]]:
    """Of each attempt, the states that it was in."""
    rows = sale.rows(
        "SELECT array_agg(s.state ORDER BY s.step_id) FROM booking.payments AS p "
        "JOIN booking.payment_steps AS s USING (payment_no) WHERE p.booking_id = %s "
        "GROUP BY p.payment_no ORDER BY p.payment_no",
        booking_id,
    )
    return [found for (found,) in rows]


def disagreements(sale: Sale, provider: Provider) -> list[str]:
    """Where money and tickets do not agree: a booking is confirmed if, and only if, the provider has its money once."""
    booked = dict(sale.rows("SELECT booking_id::text, status FROM booking.bookings WHERE event_id = %s", sale.event_id))
    known = {
        attempt_id: (booking_id, state)
        for attempt_id, booking_id, state in sale.rows(
            "SELECT p.attempt_id::text, p.booking_id::text, p.state FROM booking.payments AS p "
            "JOIN booking.bookings AS b USING (booking_id) WHERE b.event_id = %s",
            sale.event_id,
        )
    }
    theirs = {a.attempt_id: a for a in provider.attempts() if a.attempt_id in known or a.booking_id in booked}
    captured = [known.get(key, (a.booking_id, ""))[0] for key, a in theirs.items() if a.state == "captured"]
    wrong = [
        f"{b} is {s}, and paid {captured.count(b)} times"
        for b, s in booked.items()
        if captured.count(b) != (s == "confirmed")
    ]
    here = {key: known.get(key, ("", "nothing"))[1] for key in theirs}
    return wrong + [f"{key}: {here[key]} here, {a.state} there" for key, a in theirs.items() if a.state != here[key]]
