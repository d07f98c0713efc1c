"""release: the holder gives the seats back before the deadline. Redis alone decides."""

from dataclasses import dataclass

from app.domain.errors import Refusal, refusal
from app.domain.model import Booking
from app.domain.ports import Ledger, Reservations


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
            unknown = refused.kind.code == "RESERVATION_NOT_FOUND" and refused.extensions.get("reason") == "unknown"
            if not unknown and refused.kind.code != "CONFIRMATION_IN_PROGRESS":
                raise
            booking = self.ledger.get_booking(booking_id)
            if booking is None or booking.user_id != user_id or booking.status == "reserved":
                raise
            if booking.status == "confirmed":
                raise refusal("ALREADY_CONFIRMED", "A confirmed booking is cancelled, not released") from None
            raise refusal("RESERVATION_NOT_FOUND", reason=booking.status) from None
