"""sweeper: puts seats back on sale whose deadline has passed, and has old pins decided. Any number may run."""

import logging
import threading
import time
from collections.abc import Callable, Iterable

from app.domain.errors import Refusal
from app.domain.model import Swept
from worker.outage import Outage

log = logging.getLogger(__name__)


class Sweeper:
    def __init__(self, expire: Callable[[int], Swept], shards: Iterable[int], interval_ms: int) -> None:
        self._expire = expire
        self._shards = list(shards)
        self._interval_seconds = interval_ms / 1000
        self._store = Outage("a shard or its ledger (for the sweeper)")
        self.expired = 0

    def run(self, stop: threading.Event) -> None:
        # Not at once: a process that has just started is still learning the epochs.
        wait = self._interval_seconds
        while not stop.wait(wait):
            started = time.monotonic()
            self.sweep(stop)
            # From start to start: a long sweep does not make the next one late.
            wait = max(0.0, self._interval_seconds - (time.monotonic() - started))

    def sweep(self, stop: threading.Event) -> None:
        """Once over all shards, then again over those with more to do: none waits for another's backlog."""
        shards, refused = self._shards, False
        while shards and not stop.is_set():
            more = []
            for shard in shards:
                if stop.is_set():
                    return
                try:
                    swept = self._expire(shard)
                except Refusal as refusal:
                    # A closed shard is the rebuilder's business; one shard never stops the others.
                    if refusal.kind.code != "SERVICE_UNAVAILABLE":
                        raise
                    self._store.down(f"shard {shard}: {refusal.detail}")
                    refused = True
                    continue
                except Exception:
                    log.exception("shard %d: not swept", shard)
                    refused = True
                    continue
                self.expired += swept.expired
                if swept.more:
                    more.append(shard)
            shards = more
        if not refused:
            self._store.up()
