"""audit: Redis against itself and against Postgres. A difference is amnesia: the shard is closed, and rebuilt (rules
3.5 and 3.7)."""

import logging
from dataclasses import dataclass

from app.domain.ports import Ledger, Reservations

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Audit:
    reservations: Reservations
    ledger: Ledger
    batch: int = 500

    def __call__(self, shard: int) -> str:
        """What was found wrong with `shard`, "" for nothing. Raises `SERVICE_UNAVAILABLE`, also if it is closed."""
        registered = self.ledger.registered(shard)
        done, wrong = self.reservations.audit(shard, registered, 0)
        while not wrong and done < len(registered.zones):
            done, wrong = self.reservations.audit(shard, registered, done)
        if wrong:
            log.warning("shard %d: closed for a rebuild: %s", shard, wrong)
        return wrong

    def settle_stale(self, shard: int) -> int:
        """Ends reservations that only Postgres still knows, a minute past their deadline; answers how many.

        What Redis knows is left alone: its own ending is on its way, or it is pinned. A rebuild in between raises the
        epoch, and Postgres then leaves them undecided. Raises `SERVICE_UNAVAILABLE`."""
        stale = self.ledger.stale_reservations(shard, self.batch)
        if not stale:
            return 0
        missing = self.reservations.missing(shard, stale[0].epoch, [pin.booking.booking_id for pin in stale])
        forgotten = [pin for pin in stale if pin.booking.booking_id in missing]
        decisions = self.ledger.settle_bookings(forgotten) if forgotten else []
        return sum(decision.outcome == "ENDED" for decision in decisions)
