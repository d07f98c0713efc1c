"""extend: a later deadline, while it lasts. Redis alone decides."""

from dataclasses import dataclass

from app.domain.errors import Refusal, refusal
from app.domain.model import Extended
from app.domain.ports import Ledger, Reservations


@dataclass(frozen=True, slots=True)
class Extend:
    reservations: Reservations
    ledger: Ledger

    def __call__(self, user_id: str, booking_id: str, key: str | None) -> Extended:
        """Each call moves the deadline, one with a key once. Raises `RESERVATION_NOT_FOUND`, `HOLD_LIMIT_REACHED`,
        `ALREADY_CONFIRMED`, `CONFIRMATION_IN_PROGRESS`, `IDEMPOTENCY_KEY_REUSED`, `SERVICE_UNAVAILABLE`."""
        try:
            # A key's scope is the event, which only the reservation knows; it never changes.
            event_id = self.reservations.get(booking_id, user_id).booking.event_id if key else ""
            return self.reservations.extend(booking_id, user_id, key, event_id)
        except Refusal as refused:
            unknown = refused.kind.code == "RESERVATION_NOT_FOUND" and refused.extensions.get("reason") == "unknown"
            if not unknown and refused.kind.code != "CONFIRMATION_IN_PROGRESS":
                raise
            booking = self.ledger.get_booking(booking_id)
            if booking is None or booking.user_id != user_id or booking.status == "reserved":
                raise
            if booking.status == "confirmed":
                raise refusal("ALREADY_CONFIRMED", "A confirmed booking has no deadline") from None
            raise refusal("RESERVATION_NOT_FOUND", reason=booking.status) from None
