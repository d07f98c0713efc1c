"""availability: the catalogue from Postgres with live seats from Redis."""

from collections import defaultdict
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
        events = self.ledger.events()
        zones = self._on_sale([event.event_id for event in events])
        return [(event, zones[event.event_id]) for event in events]

    def event(self, event_id: str) -> tuple[Event, list[OnSale]]:
        """Raises `EVENT_NOT_FOUND`, `SERVICE_UNAVAILABLE`."""
        event = self.ledger.event(event_id)
        if event is None:
            raise refusal("EVENT_NOT_FOUND")
        return event, self._on_sale([event_id])[event_id]

    def zone(self, event_id: str, zone_id: str) -> OnSale:
        """Raises `EVENT_NOT_FOUND`, `ZONE_NOT_FOUND`, `SERVICE_UNAVAILABLE`."""
        _, zones = self.event(event_id)
        for on_sale in zones:
            if on_sale.zone.zone_id == zone_id:
                return on_sale
        raise refusal("ZONE_NOT_FOUND")

    def _on_sale(self, event_ids: list[str]) -> defaultdict[str, list[OnSale]]:
        by_event: defaultdict[str, list[Zone]] = defaultdict(list)
        for zone in self.ledger.zones(event_ids):
            by_event[zone.event_id].append(zone)
        on_sale: defaultdict[str, list[OnSale]] = defaultdict(list)
        for event_id, zones in by_event.items():
            seats = self.reservations.availability(event_id, [zone.zone_id for zone in zones])
            # A zone that Redis has not learned of yet has no seat taken there: Postgres' figures stand.
            on_sale[event_id] = [
                OnSale(z, seats.get(z.zone_id) or Seats(z.capacity, z.confirmed, 0, z.capacity - z.confirmed))
                for z in zones
            ]
        return on_sale
