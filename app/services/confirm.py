"""confirm: the promise becomes a fact. Redis pins, Postgres decides, Redis settles (rule 3.2)."""

from dataclasses import dataclass

from app.domain.errors import Refusal, refusal
from app.domain.ids import shard_of_event
from app.domain.model import Booking
from app.domain.ports import Ledger, Reservations
from app.services.handover import left_to_worker


@dataclass(frozen=True, slots=True)
class Confirm:
    reservations: Reservations
    ledger: Ledger
    shards: int

    def __call__(self, user_id: str, booking_id: str, payment_id: str | None) -> Booking:
        """The confirmed booking, durable in Postgres; the same again when it is confirmed already with this payment.

        Raises `RESERVATION_NOT_FOUND`, `ALREADY_CONFIRMED`, `CONFIRMATION_IN_PROGRESS`, `MAX_TICKETS_EXCEEDED`,
        `INSUFFICIENT_SEATS`, `SERVICE_UNAVAILABLE`."""
        try:
            pin = self.reservations.confirm(booking_id, user_id, payment_id)
        except Refusal as refused:
            if refused.kind.code not in ("RESERVATION_NOT_FOUND", "CONFIRMATION_IN_PROGRESS"):
                raise
            return self._decided_before(user_id, booking_id, payment_id, refused)
        (decision,) = self.ledger.confirm_bookings([pin])
        if decision.outcome != "CONFIRMED" or decision.booking is None:
            raise refusal(decision.outcome, **({"reason": decision.reason} if decision.reason else {}))
        with left_to_worker("settling a confirmed booking"):
            shard = shard_of_event(pin.booking.event_id, self.shards)
            self.reservations.settle(shard, [booking_id], {}, decision.learned)
        return decision.booking

    def _decided_before(self, user_id: str, booking_id: str, payment_id: str | None, refused: Refusal) -> Booking:
        """Redis no longer holds it, or holds it pinned for another payment: Postgres has the last word (rule 3.10)."""
        booking = self.ledger.get_booking(booking_id)
        if booking is None or booking.user_id != user_id or booking.status == "reserved":
            raise refused
        if booking.status != "confirmed":
            raise refusal("RESERVATION_NOT_FOUND", reason=booking.status)
        if booking.payment_id != payment_id:
            raise refusal("ALREADY_CONFIRMED", "The booking is confirmed with another payment")
        return booking
