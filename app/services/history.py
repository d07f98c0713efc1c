"""history: every transition of one booking, also those that have not reached Postgres yet."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.domain.errors import Refusal, refusal
from app.domain.model import Seen, Transition
from app.domain.payments import Payment, PaymentLedger, Step
from app.domain.ports import Ledger, Reservations

_CAUSES = {"released": "release", "expired": "expire"}


@dataclass(frozen=True, slots=True)
class Past:
    """A booking's transitions, and the attempts to pay for it with their steps, oldest first."""

    transitions: Sequence[Transition]
    payments: Sequence[tuple[Payment, Sequence[Step]]] = ()


@dataclass(frozen=True, slots=True)
class History:
    reservations: Reservations
    ledger: Ledger
    payments: PaymentLedger

    def __call__(self, user_id: str, booking_id: str) -> Past:
        """Oldest first. Raises `RESERVATION_NOT_FOUND` (unknown or another's), `SERVICE_UNAVAILABLE`."""
        try:
            seen = self.reservations.get(booking_id, user_id)
        except Refusal as refused:
            if refused.kind.code not in ("RESERVATION_NOT_FOUND", "SERVICE_UNAVAILABLE"):
                raise
            seen = None
        recorded = self.ledger.get_booking(booking_id)
        if seen is None and (recorded is None or recorded.user_id != user_id):
            raise refusal("RESERVATION_NOT_FOUND", reason="unknown")
        transitions = list(self.ledger.get_history(booking_id))
        if seen and (recorded is None or (recorded.status == "reserved" and recorded.version < seen.booking.version)):
            transitions = _with_latest(transitions, seen)
        numbered = [replace(t, version=n) for n, t in enumerate(transitions, start=1)]
        return Past(numbered, self.payments.get_payments(booking_id))


def _with_latest(transitions: list[Transition], seen: Seen) -> list[Transition]:
    """What Redis knows and the worker has not recorded: the beginning, and the latest transition."""
    booking = seen.booking
    known = transitions or [Transition(1, "reserved", booking.reserved_at_ms, "reserve")]
    if booking.version == 1 and booking.status == "reserved":
        return known
    cause = _CAUSES.get(booking.status, "extend")
    return [*known, Transition(booking.version, booking.status, seen.at_ms, cause)]
