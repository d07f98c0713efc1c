"""extend: a later deadline, while it lasts. Redis alone decides."""

from dataclasses import dataclass

from app.domain.errors import Refusal
from app.domain.model import Extended
from app.domain.ports import Ledger, Reservations
from app.services.ended import better_refusal


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
            confirmed = "A confirmed booking has no deadline"
            raise better_refusal(self.ledger, user_id, booking_id, refused, confirmed) from None
