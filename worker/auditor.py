"""auditor: has every shard compared with itself and with Postgres, round after round. Any number may run."""

import logging
import threading
import time
from collections.abc import Callable, Iterable

from app.domain.errors import Refusal
from worker.outage import Outage

log = logging.getLogger(__name__)


class Auditor:
    """`checks` are done in their order for one shard after the other, once in `period_s` seconds."""

    def __init__(self, checks: Iterable[Callable[[int], object]], shards: Iterable[int], period_s: float) -> None:
        self._checks = list(checks)
        self._shards = list(shards)
        self._period_s = period_s
        self._store = Outage("a shard or its ledger (for the audit)")

    def run(self, stop: threading.Event) -> None:
        """Spreads the shards over the period: no moment in which all are looked at."""
        pause = self._period_s / len(self._shards)
        while not stop.is_set():
            for shard in self._shards:
                started = time.monotonic()
                self.look(shard)
                if stop.wait(max(0.0, pause - (time.monotonic() - started))):
                    return

    def look(self, shard: int) -> None:
        try:
            for check in self._checks:
                check(shard)
            self._store.up()
        except Refusal as refused:
            # A closed shard is the rebuilder's business.
            if refused.kind.code != "SERVICE_UNAVAILABLE":
                raise
            self._store.down(f"shard {shard}: {refused.detail}")
