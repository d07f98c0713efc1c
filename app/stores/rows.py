"""What functions of Postgres take and answer, as records: pins, and the decisions on them."""

from collections.abc import Sequence
from typing import Any

from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from app.domain.model import Booking, Decision, Learned, Pin


def decision_of(row: TupleRow) -> Decision:
    booking_id, outcome, reason, booking, zone, user = row
    learned = Learned((zone,) if zone else (), (user,) if user else ())
    return Decision(booking_id, outcome, Booking(**booking) if booking else None, reason, learned)


def pins_of(pins: Sequence[Pin]) -> Jsonb:
    return Jsonb([_pin(pin) for pin in pins])


def _pin(pin: Pin) -> dict[str, Any]:
    booking = pin.booking
    return {
        "booking_id": booking.booking_id,
        "event_id": booking.event_id,
        "zone_id": booking.zone_id,
        "user_id": booking.user_id,
        "quantity": booking.quantity,
        "unit_price_minor": booking.unit_price_minor,
        "currency": booking.currency,
        "reserved_at_ms": booking.reserved_at_ms,
        "deadline_ms": booking.deadline_ms,
        "version": booking.version,
        "idempotency_key": pin.idempotency_key,
        "fingerprint": pin.fingerprint,
        "epoch": pin.epoch,
        "pin": pin.number,
        "payment_id": pin.payment_id,
    }
