"""audit: Redis against itself and against Postgres. A difference is amnesia: the shard is closed, and rebuilt (rules
3.5 and 3.7)."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.domain.ports import Ledger, Reservations
from app.services.waiting import Outbox, told_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Audit:
    reservations: Reservations
    ledger: Ledger
    outbox: Outbox
    close: Callable[[int], object]
    batch: int = 500

    def __call__(self, shard: int) -> str:
        """What was found wrong with `shard`, "" for nothing. Raises `SERVICE_UNAVAILABLE`, also if it is closed."""
        registered = self.ledger.registered(shard)
        done, wrong, ahead = self.reservations.audit(shard, registered, 0)
        while not wrong and done < len(registered.zones):
            done, wrong, more = self.reservations.audit(shard, registered, done)
            ahead = {**ahead, **more}
        if ahead and not wrong and (wrong := self._unheard_of(shard, ahead)):
            self.close(shard)
        if wrong:
            log.warning("shard %d: closed for a rebuild: %s", shard, wrong)
        return wrong

    def _unheard_of(self, shard: int, versions: Mapping[str, int]) -> str:
        """Facts of a version that Postgres has not come to: Redis would take no other before that."""
        for name, version, *_ in self.ledger.registered(shard).zones:
            if versions.get(name, 0) > version:
                return f"zone {name}: version {versions[name]}, and Postgres has {version}"
        return ""

    def settle_stale(self, shard: int) -> int:
        """Ends reservations that only Postgres still knows, a minute past their deadline; answers how many.

        What Redis knows is left alone: its own ending is on its way, or it is pinned. So is what its outbox tells of:
        an end that was answered more than an hour ago, while Kafka is away, Redis itself has forgotten. A rebuild in
        between raises the epoch, and Postgres then leaves them undecided. Raises `SERVICE_UNAVAILABLE`."""
        stale = self.ledger.stale_reservations(shard, self.batch)
        if not stale:
            return 0
        missing = self.reservations.missing(shard, stale[0].epoch, [pin.booking.booking_id for pin in stale])
        waiting = told_of(self.outbox, shard, missing)
        forgotten = [pin for pin in stale if pin.booking.booking_id in missing - waiting]
        decisions = self.ledger.settle_bookings(forgotten) if forgotten else []
        return sum(decision.outcome == "ENDED" for decision in decisions)
