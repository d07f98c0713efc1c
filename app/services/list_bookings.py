"""list: a user's own bookings, newest first, from both stores."""

from dataclasses import dataclass

from app.domain.ids import is_booking_id
from app.domain.model import Booking, Status
from app.domain.ports import Ledger, Reservations


@dataclass(frozen=True, slots=True)
class Page:
    """`next_before` is where the next page begins; None on the last one."""

    bookings: list[Booking]
    next_before: str | None


@dataclass(frozen=True, slots=True)
class ListBookings:
    reservations: Reservations
    ledger: Ledger

    def __call__(
        self, user_id: str, event_id: str | None, status: Status | None, before: str | None, limit: int
    ) -> Page:
        """Up to `limit` bookings older than `before`, of one event or status if given. Raises `SERVICE_UNAVAILABLE`.

        Redis is asked about what it may know better: its own live reservations, and whatever Postgres still calls
        reserved, which is never passed on unseen (rule 3.10). Its live ones first: what is confirmed in between is then
        seen twice, and not by neither."""
        if before is not None and not is_booking_id(before):
            return Page([], None)
        event_ids = [event_id] if event_id else [event.event_id for event, _ in self.ledger.catalogue()]
        seen = list(self.reservations.mine(user_id, event_ids, []))
        recorded = self.ledger.list_bookings(user_id, event_id, status, before, limit + 1)
        more = len(recorded) > limit
        bookings = {booking.booking_id: booking for booking in recorded if booking.status != "reserved"}
        live = {each.booking.booking_id for each in seen}
        doubtful = {b.booking_id for b in recorded if b.status == "reserved"} - live
        if doubtful:
            seen += self.reservations.mine(user_id, [], sorted(doubtful))
            for booking_id in doubtful - {each.booking.booking_id for each in seen}:
                if decided := self._decided(booking_id):
                    bookings[booking_id] = decided
        oldest = recorded[-1].booking_id if more else ""
        for each in seen:
            booking = each.booking
            in_page = oldest <= booking.booking_id and (before is None or booking.booking_id < before)
            if in_page and not (each.pinned and booking.booking_id in bookings):
                # What is pinned may be decided already.
                decided = self._decided(booking.booking_id) if each.pinned else None
                bookings.setdefault(booking.booking_id, decided or booking)
        found = sorted(bookings.values(), key=lambda booking: booking.booking_id, reverse=True)
        page = [booking for booking in found if status is None or booking.status == status]
        if len(page) > limit:
            return Page(page[:limit], page[limit - 1].booking_id)
        return Page(page, oldest or None)

    def _decided(self, booking_id: str) -> Booking | None:
        """As Postgres has it, unless that still calls it reserved."""
        recorded = self.ledger.get_booking(booking_id)
        return recorded if recorded and recorded.status != "reserved" else None
