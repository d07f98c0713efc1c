"""rebuild: a shard that Redis forgot is filled anew from Postgres (rule 3.7). Nobody has to do anything."""

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from app.domain.errors import Unrecordable
from app.domain.model import Image
from app.domain.ports import Entry, Log, RebuildableLedger, RebuildableReservations, Recorder

log = logging.getLogger(__name__)
_TELL_EVERY_S: Final = 1.0

Step = Literal["recorded", "image", "installed"]
OnProgress = Callable[[int, Step, int], object]
"""Told of a shard how many entries have been recorded, how many rows its image has, and how many are installed."""


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
    on_progress: OnProgress = lambda shard, step, count: None

    def __call__(self, shard: int, purge: Sequence[str] = ()) -> bool:
        """Opens `shard` again if it is closed; False if somebody else is at it. To `purge` sandbox events is to rebuild
        their shard, open or not, without them. Raises `SERVICE_UNAVAILABLE`, `FORBIDDEN` if that may not be.

        May die or hang at any line: the session lock falls, and the next one starts from the freeze."""
        if purge:
            self.ledger.check_purge(purge)  # before anything is stopped for it
        with self.ledger.rebuild_lock(shard) as mine:
            if not mine:
                return False
            if not purge and self.reservations.is_open(shard, self.epochs()[shard]):
                return True  # somebody did it while we waited
            began = time.monotonic()
            progress = _Progress(shard, self.on_progress, self.ledger.keep_lock, began)
            token = secrets.token_hex(8)
            run_id = self.reservations.freeze(shard, token)
            log.info("shard %d: frozen, recording what survived", shard)
            survivors = self._record(self.reservations.survivors(shard), progress)
            logged = self._record(self.event_log.unrecorded(shard), progress, survivors) if self.event_log else 0
            log.info("shard %d: %d entries of the outbox and %d of the log are recorded", shard, survivors, logged)
            image = self.ledger.shard_image(shard, purge, self.reservations.highest_epoch(shard))
            self._install(shard, token, run_id, image, progress)
            self.reservations.flip(shard, token, run_id, image.epoch)
            log.info(
                "shard %d: open at epoch %d after %.1f s, with %d rows; %d reservations ended for want of room",
                *(shard, image.epoch, time.monotonic() - began, image.rows, image.ended),
            )
            return True

    def _record(self, batches: Iterable[Sequence[Entry]], progress: "_Progress", before: int = 0) -> int:
        """How many entries; `before` were recorded earlier."""
        recorded = 0
        progress("recorded", before)
        for batch in batches:
            recorded += self._record_good(batch)
            progress("recorded", before + recorded)
        return recorded

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

    def _install(self, shard: int, token: str, run_id: str, image: Image, progress: "_Progress") -> None:
        installed = 0
        progress("image", image.rows)
        progress("installed", 0)
        for chunk in image.chunks:
            self.reservations.install(shard, token, run_id, image.epoch, chunk)
            installed += len(chunk.rows)
            progress("installed", installed)


@dataclass(slots=True)
class _Progress:
    """Of one rebuild: every step for the metrics; and each second a line in the log, and a sign of life to Postgres."""

    shard: int
    tell: OnProgress
    keep_lock: Callable[[int], None]
    said_at: float

    def __call__(self, step: Step, count: int) -> None:
        self.tell(self.shard, step, count)
        if (now := time.monotonic()) - self.said_at >= _TELL_EVERY_S:
            self.said_at = now
            log.info("shard %d: %s so far: %d", self.shard, step, count)
            self.keep_lock(self.shard)
