"""expire: the deadline ends a reservation; a pin past its limit is ended by Postgres first (rule 3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.model import Learned, Pin, Swept
from app.domain.ports import Ledger, Reservations


@dataclass(frozen=True, slots=True)
class Expire:
    reservations: Reservations
    ledger: Ledger
    batch: int = 500
    pin_limit_ms: int = 15_000

    def __call__(self, shard: int) -> Swept:
        """Ends up to `batch` due reservations of `shard` and settles its overdue pins and ceilings."""
        swept = self.reservations.expire(shard, self.batch, self.pin_limit_ms)
        if swept.overdue:
            self.settle(shard, swept.overdue)
        for ceiling in swept.ceilings:
            self.reservations.learn(shard, self.ledger.void_ceiling(ceiling))
        return swept

    def settle(self, shard: int, pins: Sequence[Pin]) -> None:
        """Has Postgres decide them, and closes in Redis what is decided. Raises `SERVICE_UNAVAILABLE`."""
        decisions = self.ledger.settle_bookings(pins)
        decided = [d for d in decisions if d.outcome in ("CONFIRMED", "ENDED")]
        void = {d.booking_id for d in decisions if d.outcome == "VOIDED"}
        for pin in pins:
            if pin.booking.booking_id in void:
                self.reservations.unpin(pin.booking.booking_id, pin.number)
        self.reservations.settle(
            shard,
            [d.booking_id for d in decided if d.outcome == "CONFIRMED"],
            {d.booking_id: d.booking.status for d in decided if d.outcome == "ENDED" and d.booking},
            Learned.newest(d.learned for d in decided),
        )
