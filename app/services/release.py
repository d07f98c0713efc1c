"""release: the holder gives the seats back before the deadline. Redis alone decides."""

from dataclasses import dataclass

from app.domain.errors import Refusal
from app.domain.model import Booking
from app.domain.ports import Ledger, Reservations
from app.services.ended import better_refusal


@dataclass(frozen=True, slots=True)
class Release:
    reservations: Reservations
    ledger: Ledger

    def __call__(self, user_id: str, booking_id: str) -> Booking:
        """Raises `RESERVATION_NOT_FOUND` (also for a second release), `ALREADY_CONFIRMED`, `CONFIRMATION_IN_PROGRESS`,
        `SERVICE_UNAVAILABLE`."""
        try:
            return self.reservations.release(booking_id, user_id)
        except Refusal as refused:
            confirmed = "A confirmed booking is cancelled, not released"
            raise better_refusal(self.ledger, user_id, booking_id, refused, confirmed) from None
