"""rebuilder: looks for shards that are closed and opens them again; nobody has to do anything (rule 3.7)."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from app.domain.errors import Refusal
from app.domain.ports import Duty
from worker.log import KafkaLog
from worker.outage import Outage

log = logging.getLogger(__name__)

LOOK_EVERY_SECONDS: Final = 0.5
# While Postgres makes the image of one shard, Redis is filled with another's: neither waits, and we have little to do.
AT_ONCE: Final = 3
# Old name spaces are also swept without an occasion: the process that left them may have died before it could. Rarely:
# it is a scan over all keys.
SWEEP_EVERY_SECONDS: Final = 600.0


class Rebuilder:
    def __init__(
        self,
        closed_shards: Callable[[], Sequence[int]],
        rebuild: Callable[[int], bool],
        sweep_old_spaces: Callable[[], int],
        event_log: KafkaLog | None,
        duty: Duty | None,
    ) -> None:
        self._closed_shards = closed_shards
        self._rebuild = rebuild
        self._sweep_old_spaces = sweep_old_spaces
        self._event_log = event_log
        self._duty = duty
        self._store = Outage("Redis or Postgres (for the rebuild)")
        self.rebuilt = 0
        self.swept = 0

    def run(self, stop: threading.Event) -> None:
        sweep_at = time.monotonic()
        try:
            while not stop.is_set():
                opened = self.look(stop)
                if opened or time.monotonic() >= sweep_at:
                    self._sweep()
                    sweep_at = time.monotonic() + SWEEP_EVERY_SECONDS
                stop.wait(LOOK_EVERY_SECONDS)
        finally:
            self._close_log()
            if self._duty:
                self._duty.leave()

    def look(self, stop: threading.Event) -> int:
        """Rebuilds every shard that is closed now, as far as it can; how many are open again."""
        try:
            if self._duty:
                self._duty.keep()
            closed = self._closed_shards()
        except Refusal as refused:
            self._wait(refused)
            return 0
        if not closed:
            self._store.up()
            return 0
        with ThreadPoolExecutor(AT_ONCE, "rebuild") as pool:
            opened = sum(pool.map(lambda shard: not stop.is_set() and self._open(shard), closed))
        self._close_log()
        if opened == len(closed):
            self._store.up()
        self.rebuilt += opened
        return opened

    def _open(self, shard: int) -> bool:
        """Whether it is open now."""
        try:
            return self._rebuild(shard)
        except Refusal as refused:
            self._wait(refused)
        except Exception:
            # One shard's bug must not keep the others closed.
            log.exception("shard %d: not rebuilt", shard)
        return False

    def _sweep(self) -> None:
        try:
            swept = self._sweep_old_spaces()
        except Refusal as refused:
            self._wait(refused)
            return
        self.swept += swept
        if swept:
            log.info("%d keys of older epochs are swept", swept)

    def _wait(self, refused: Refusal) -> None:
        if refused.kind.code != "SERVICE_UNAVAILABLE":
            raise refused
        self._store.down(refused.detail)

    def _close_log(self) -> None:
        if self._event_log:
            self._event_log.close()
