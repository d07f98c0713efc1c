"""What Redis does not know, or holds pinned, Postgres is asked about before a refusal is passed on (rule 3.10)."""

from app.domain.errors import Refusal, refusal
from app.domain.ports import Ledger


def better_refusal(ledger: Ledger, user_id: str, booking_id: str, refused: Refusal, confirmed: str) -> Refusal:
    """The refusal that Postgres' final state means, with `confirmed` as the detail where that is it; `refused` itself
    where Redis knows as much, or Postgres no more. Raises `SERVICE_UNAVAILABLE`."""
    unknown = refused.kind.code == "RESERVATION_NOT_FOUND" and refused.extensions.get("reason") == "unknown"
    if not unknown and refused.kind.code != "CONFIRMATION_IN_PROGRESS":
        return refused
    booking = ledger.get_booking(booking_id)
    if booking is None or booking.user_id != user_id or booking.status == "reserved":
        return refused
    if booking.status == "confirmed":
        return refusal("ALREADY_CONFIRMED", confirmed)
    return refusal("RESERVATION_NOT_FOUND", reason=booking.status)
