"""get: one booking, whichever store knows it best: a final state in Postgres wins, else Redis (rule 3.10)."""

from dataclasses import dataclass, replace

from app.domain.errors import Refusal, refusal
from app.domain.model import Booking
from app.domain.ports import Ledger, Reservations


@dataclass(frozen=True, slots=True)
class Get:
    reservations: Reservations
    ledger: Ledger

    def __call__(self, user_id: str, booking_id: str) -> Booking:
        """Raises `RESERVATION_NOT_FOUND` (unknown or another's), `SERVICE_UNAVAILABLE`."""
        try:
            seen = self.reservations.get(booking_id, user_id)
        except Refusal as refused:
            if refused.kind.code not in ("RESERVATION_NOT_FOUND", "SERVICE_UNAVAILABLE"):
                raise
            return self._final(user_id, booking_id, refused)
        if seen.booking.status == "reserved" and not seen.pins:
            return seen.booking  # never pinned: no final state can exist, and no payment
        recorded = self.ledger.get_booking(booking_id)
        if recorded is None:
            return seen.booking
        if recorded.status == "reserved":
            return replace(seen.booking, payment_state=recorded.payment_state)
        return recorded

    def _final(self, user_id: str, booking_id: str, refused: Refusal) -> Booking:
        """Redis does not know it, or cannot say. A bare `reserved` of Postgres is not passed on: it may have ended."""
        recorded = self.ledger.get_booking(booking_id)
        if recorded is None or recorded.user_id != user_id:
            raise refused
        if recorded.status == "reserved":
            raise refusal("SERVICE_UNAVAILABLE", "The end of this reservation is still on its way to the ledger")
        return recorded
