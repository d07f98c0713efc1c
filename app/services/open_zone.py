"""open: an operator puts an event, and zones of it, on sale. Postgres decides; Redis learns the facts."""

from dataclasses import dataclass

from app.domain.errors import Refusal
from app.domain.ids import shard_of_event
from app.domain.model import Event, Learned, Zone
from app.domain.ports import Ledger, Reservations
from app.services.handover import left_to_worker


@dataclass(frozen=True, slots=True)
class OpenZone:
    reservations: Reservations
    ledger: Ledger
    shards: int

    def event(self, event: Event) -> bool:
        """True if the event is new. A change reaches all its zones. Raises `SERVICE_UNAVAILABLE`."""
        created, learned = self.ledger.put_event(event)
        self._tell(event.event_id, learned)
        return created

    def __call__(self, zone: Zone) -> bool:
        """True if the zone is new. Raises `EVENT_NOT_FOUND`, `CAPACITY_IN_USE`, `SERVICE_UNAVAILABLE`."""
        try:
            created, learned = self.ledger.open_zone(zone)
        except Refusal as refused:
            if refused.kind.code != "CAPACITY_IN_USE":
                raise
            created, learned = self._cut(zone)
        self._tell(zone.event_id, learned)
        return created

    def _cut(self, zone: Zone) -> tuple[bool, Learned]:
        """Less capacity than now: Redis fences the seats first, then Postgres commits in that epoch (rule 3.8). If this
        process dies in between, the sweeper voids the ceiling."""
        try:
            ceiling = self.reservations.ceiling(zone.event_id, zone.zone_id, zone.capacity)
        except Refusal as refused:
            if refused.kind.code != "ZONE_NOT_FOUND":
                raise
            # Postgres has it, and its facts are still on their way (rule 3.10).
            learned = self.ledger.zone_facts(zone.event_id, zone.zone_id)
            self.reservations.learn(shard_of_event(zone.event_id, self.shards), learned)
            ceiling = self.reservations.ceiling(zone.event_id, zone.zone_id, zone.capacity)
        return self.ledger.open_zone(zone, ceiling)

    def _tell(self, event_id: str, learned: Learned) -> None:
        with left_to_worker("a zone's new facts"):
            self.reservations.learn(shard_of_event(event_id, self.shards), learned)
