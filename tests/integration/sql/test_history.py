"""A booking's history as its reader gets it: every transition once, in order, over all epochs."""

from collections.abc import Callable
from dataclasses import asdict

from tests.support.seats import Sale


def _told(sale: Sale, booking_id: str) -> list[tuple[int, str, str]]:
    return [(t.version, t.status, t.cause) for t in sale.shop.ledger.get_history(booking_id)]


def test_every_transition_is_told_in_order_with_its_time(sale: Sale) -> None:
    booking = sale.reserve().booking
    sale.clock.advance(2)
    sale.shop.confirm("ann", booking.booking_id, None)
    sale.record()
    first, second = sale.shop.ledger.get_history(booking.booking_id)
    assert asdict(first) == {"version": 1, "status": "reserved", "at_ms": booking.reserved_at_ms, "cause": "reserve"}
    assert (second.version, second.status, second.cause) == (2, "confirmed", "confirm")
    assert second.at_ms > 0


def test_versions_run_on_over_the_epochs(open_event: Callable[..., Sale]) -> None:
    sale = open_event()
    booking_id = sale.reserve().booking.booking_id
    sale.record()
    # As if the row had been written twice, under two epochs: the number counts transitions, not epochs.
    with sale.shop.postgres.session(5) as connection:
        connection.execute(
            "RESET ROLE; INSERT INTO booking.booking_history (booking_id, epoch, version, status, at, cause) "
            "SELECT booking_id, epoch + 1, 1, 'reserved', at, 'rebuild' FROM booking.booking_history "
            f"WHERE booking_id = '{booking_id}'".encode()
        )
    assert _told(sale, booking_id) == [(1, "reserved", "reserve"), (2, "reserved", "rebuild")]


def test_a_booking_that_nobody_knows_has_no_history(sale: Sale) -> None:
    assert sale.shop.ledger.get_history("0198f3a2-7c41-8007-9d2e-5b1f0a6c3e84") == []
    assert sale.shop.ledger.get_history("no id at all") == []
