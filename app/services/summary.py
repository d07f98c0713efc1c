"""summary: how many seats of an event a user has, and how many more are allowed."""

from dataclasses import dataclass

from app.domain.errors import refusal
from app.domain.ports import Ledger, Reservations


@dataclass(frozen=True, slots=True)
class Count:
    """Seats of one user in one event."""

    event_id: str
    held: int
    confirmed: int
    allowed: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Summary:
    reservations: Reservations
    ledger: Ledger

    def __call__(self, user_id: str, event_id: str) -> Count:
        """Raises `EVENT_NOT_FOUND`, `SERVICE_UNAVAILABLE`."""
        for event, _ in self.ledger.catalogue(event_id):
            # Redis first: a confirm in between is then counted twice, never not at all.
            seen = self.reservations.mine(user_id, [event_id], [])
            confirmed, mine = self.ledger.confirmed_seats(user_id, event_id, [s.booking.booking_id for s in seen])
            held = sum(
                s.booking.quantity for s in seen if s.booking.status == "reserved" and s.booking.booking_id not in mine
            )
            remaining = max(0, event.max_per_user - held - confirmed)
            return Count(event_id, held, confirmed, event.max_per_user, remaining)
        raise refusal("EVENT_NOT_FOUND")
