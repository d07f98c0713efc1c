"""look: one booking as each store has it, side by side, for an operator."""

from dataclasses import dataclass

from app.domain.errors import Refusal
from app.domain.model import Booking, Seen, Transition
from app.domain.ports import Ledger, Reservations


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What each store has: None where it has nothing, or where `silent` tells why it could not be asked."""

    redis: Seen | None = None
    postgres: Booking | None = None
    history: tuple[Transition, ...] = ()
    silent: dict[str, str]


@dataclass(frozen=True, slots=True)
class Look:
    reservations: Reservations
    ledger: Ledger

    def __call__(self, booking_id: str) -> Looked:
        """Raises `RESERVATION_NOT_FOUND` when both stores say so. One that cannot be asked does not hide the other."""
        silent: dict[str, str] = {}
        redis, postgres, unknown = None, None, None
        history: tuple[Transition, ...] = ()
        try:
            redis = self.reservations.look(booking_id)
        except Refusal as refused:
            if refused.kind.code == "SERVICE_UNAVAILABLE":
                silent["redis"] = refused.detail
            else:
                unknown = refused
        try:
            postgres = self.ledger.get_booking(booking_id)
            history = tuple(self.ledger.get_history(booking_id))
        except Refusal as refused:
            silent["postgres"] = refused.detail
        if unknown and postgres is None and not silent:
            raise unknown
        return Looked(redis=redis, postgres=postgres, history=history, silent=silent)
