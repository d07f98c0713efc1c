"""inventory: Redis and Postgres side by side, and how far they are apart."""

from collections import defaultdict
from dataclasses import dataclass

from app.domain.errors import refusal
from app.domain.model import Seats, Stock
from app.domain.ports import Ledger, Reservations


@dataclass(frozen=True, slots=True)
class Compared:
    """One zone in both stores, read one after the other. `redis` is None where Redis does not know the zone.

    Drift is Redis less Postgres, in seats. While events are on their way it is not 0; at rest it is."""

    stock: Stock
    redis: Seats | None

    @property
    def drift(self) -> dict[str, int]:
        if self.redis is None:
            return {}
        return {
            "capacity": self.redis.capacity - self.stock.capacity,
            "confirmed": self.redis.confirmed - self.stock.confirmed,
            "held": self.redis.held - self.stock.reserved,
        }


@dataclass(frozen=True, slots=True)
class Inventory:
    reservations: Reservations
    ledger: Ledger

    def __call__(self, event_id: str | None) -> list[Compared]:
        """Every zone, or those of one event. Raises `EVENT_NOT_FOUND`, `SERVICE_UNAVAILABLE`."""
        if event_id is not None and not self.ledger.catalogue(event_id):
            raise refusal("EVENT_NOT_FOUND")
        by_event: defaultdict[str, list[Stock]] = defaultdict(list)
        for stock in self.ledger.inventory(event_id):
            by_event[stock.event_id].append(stock)
        compared: list[Compared] = []
        for event, stocks in by_event.items():
            seats = self.reservations.availability(event, [stock.zone_id for stock in stocks])
            compared += [Compared(stock, seats.get(stock.zone_id)) for stock in stocks]
        return compared
