"""availability: the catalogue from Postgres with live seats from Redis."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.errors import refusal
from app.domain.model import Event, Seats, Zone
from app.domain.ports import Ledger, Reservations


@dataclass(frozen=True, slots=True)
class OnSale:
    """A zone with its seats of this instant."""

    zone: Zone
    seats: Seats


@dataclass(frozen=True, slots=True)
class Availability:
    reservations: Reservations
    ledger: Ledger

    def events(self) -> list[tuple[Event, list[OnSale]]]:
        """Every event with its zones. Raises `SERVICE_UNAVAILABLE`."""
        return [(event, self._on_sale(event, zones)) for event, zones in self.ledger.catalogue()]

    def event(self, event_id: str) -> tuple[Event, list[OnSale]]:
        """Raises `EVENT_NOT_FOUND`, `SERVICE_UNAVAILABLE`."""
        for event, zones in self.ledger.catalogue(event_id):
            return event, self._on_sale(event, zones)
        raise refusal("EVENT_NOT_FOUND")

    def zone(self, event_id: str, zone_id: str) -> OnSale:
        """Raises `EVENT_NOT_FOUND`, `ZONE_NOT_FOUND`, `SERVICE_UNAVAILABLE`."""
        _, zones = self.event(event_id)
        for on_sale in zones:
            if on_sale.zone.zone_id == zone_id:
                return on_sale
        raise refusal("ZONE_NOT_FOUND")

    def _on_sale(self, event: Event, zones: Sequence[Zone]) -> list[OnSale]:
        if not zones:
            return []
        seats = self.reservations.availability(event.event_id, [zone.zone_id for zone in zones])
        # Where Redis has not learned of a zone yet, nobody holds a seat of it: Postgres' figures stand.
        return [
            OnSale(z, seats.get(z.zone_id) or Seats(z.capacity, z.confirmed, 0, z.capacity - z.confirmed))
            for z in zones
        ]
