"""photograph: how both stores hold each zone, so that psql can compare them, and see since when they differ."""

from dataclasses import dataclass

from app.domain.ports import Ledger, Reservations


@dataclass(frozen=True, slots=True)
class Photograph:
    reservations: Reservations
    ledger: Ledger

    def __call__(self) -> int:
        """Takes one event after the other, so that a zone's two figures are read within milliseconds; answers how many
        zones. Raises `SERVICE_UNAVAILABLE`: some events may then be taken."""
        taken = 0
        for event, zones in self.ledger.catalogue():
            seats = self.reservations.availability(event.event_id, [zone.zone_id for zone in zones]) if zones else {}
            taken += self.ledger.record_snapshots(event.event_id, seats)
        return taken
