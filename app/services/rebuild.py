"""rebuild: a shard that Redis forgot is filled anew from Postgres (rule 3.7). Nobody has to do anything."""

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.domain.errors import Unrecordable
from app.domain.ports import Entry, Log, RebuildableLedger, RebuildableReservations, Recorder

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rebuild:
    reservations: RebuildableReservations
    ledger: RebuildableLedger
    epochs: Callable[[], Mapping[int, int]]
    """As Postgres has them now: what a process remembers may be a second old."""
    recorder: Recorder
    event_log: Log | None = None
    """None where Kafka is not spoken (the web process) or not to be had: what only the log holds is recorded later, as
    ended."""

    def __call__(self, shard: int) -> bool:
        """Opens `shard` again if it is closed; False if somebody else is at it. Raises `SERVICE_UNAVAILABLE`.

        May die at any line: the session lock falls with its connection, and the next one starts from the freeze."""
        with self.ledger.rebuild_lock(shard) as mine:
            if not mine:
                return False
            if self.reservations.is_open(shard, self.epochs()[shard]):
                return True  # somebody did it while we waited
            token = secrets.token_hex(8)
            run_id = self.reservations.freeze(shard, token)
            log.info("shard %d: frozen, recording what survived", shard)
            self._record(shard, "outbox", self.reservations.survivors(shard))
            if self.event_log:
                self._record(shard, "log", self.event_log.unrecorded(shard))
            epoch, image = self.ledger.shard_image(shard)
            self.reservations.install(shard, token, run_id, epoch, image)
            self.reservations.flip(shard, token, run_id, epoch)
            log.info("shard %d: open at epoch %d", shard, epoch)
            return True

    def _record(self, shard: int, source: str, batches: Iterable[Sequence[Entry]]) -> None:
        count = 0
        for batch in batches:
            count += self._record_good(batch)
        log.info("shard %d: %d entries of the %s recorded", shard, count, source)

    def _record_good(self, batch: Sequence[Entry]) -> int:
        """Passes over what can never be recorded: a poisonous entry must not keep its shard closed. It stays where it
        is, and the consumer buries it when it comes to it."""
        try:
            self.recorder.record(batch)
        except Unrecordable as poison:
            if len(batch) > 1:
                return sum(self._record_good([entry]) for entry in batch)
            log.warning("an entry is passed over: %s", poison)
            return 0
        return len(batch)
