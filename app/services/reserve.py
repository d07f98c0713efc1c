"""reserve: seats are held until a deadline. Redis alone decides, in one round trip."""

from dataclasses import dataclass

from app.domain.errors import Refusal, refusal
from app.domain.ids import shard_of_event
from app.domain.model import Held, Order
from app.domain.ports import Ledger, Reservations


@dataclass(frozen=True, slots=True)
class Reserve:
    reservations: Reservations
    ledger: Ledger
    shards: int

    def __call__(self, user_id: str, order: Order) -> Held:
        """Raises `INSUFFICIENT_SEATS`, `MAX_TICKETS_EXCEEDED`, `PRICE_CHANGED`, `SALE_CLOSED`, `EVENT_NOT_FOUND`,
        `ZONE_NOT_FOUND`, `IDEMPOTENCY_KEY_REUSED`, `VALIDATION_ERROR`, `SERVICE_UNAVAILABLE`."""
        try:
            return self.reservations.reserve(user_id, order)
        except Refusal as refused:
            if refused.kind.code != "ZONE_NOT_FOUND":
                raise
        self._teach(order)
        return self.reservations.reserve(user_id, order)

    def _teach(self, order: Order) -> None:
        """What Redis does not know, Postgres is asked about before a 404 (rule 3.10): the facts may be on their way."""
        learned = self.ledger.zone_facts(order.event_id, order.zone_id)
        if not learned.zones:
            raise refusal("ZONE_NOT_FOUND" if self.ledger.catalogue(order.event_id) else "EVENT_NOT_FOUND")
        self.reservations.learn(shard_of_event(order.event_id, self.shards), learned)
