"""cancel: the holder gives the seats back for good, before or after confirmation."""

from dataclasses import dataclass

from app.domain.errors import Refusal, refusal
from app.domain.ids import shard_of_event
from app.domain.model import Booking
from app.domain.ports import Ledger, Reservations
from app.services.handover import left_to_worker


@dataclass(frozen=True, slots=True)
class Cancel:
    reservations: Reservations
    ledger: Ledger
    shards: int

    def __call__(self, user_id: str, booking_id: str, reason: str | None) -> Booking:
        """A reservation is released; a confirmed booking is cancelled, and again the same when asked again.

        Raises `RESERVATION_NOT_FOUND`, `CONFIRMATION_IN_PROGRESS`, `SERVICE_UNAVAILABLE`."""
        try:
            return self.reservations.release(booking_id, user_id)
        except Refusal as refused:
            if refused.kind.code not in ("RESERVATION_NOT_FOUND", "CONFIRMATION_IN_PROGRESS"):
                raise
            return self._confirmed(user_id, booking_id, reason, refused)

    def _confirmed(self, user_id: str, booking_id: str, reason: str | None, refused: Refusal) -> Booking:
        """Redis holds it no longer, or pinned: what is confirmed is Postgres' to cancel."""
        decision = self.ledger.cancel_booking(booking_id, user_id, reason)
        if decision.outcome != "CANCELLED" or decision.booking is None:
            if decision.reason in (None, "reserved"):
                raise refused
            raise refusal("RESERVATION_NOT_FOUND", reason=decision.reason)
        with left_to_worker("seats of a cancelled booking"):
            shard = shard_of_event(decision.booking.event_id, self.shards)
            # A confirm that was not settled yet would keep the seats held until its pin is past its limit.
            self.reservations.settle(shard, [booking_id], {}, decision.learned)
        return decision.booking
