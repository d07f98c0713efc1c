"""The epochs of all shards as this process last read them from Postgres (rule 3.6)."""

import logging
import threading
from collections.abc import Callable, Mapping

from app.domain.errors import Refusal, refusal

log = logging.getLogger(__name__)


class Epochs:
    """Refreshed by a thread of its own (a greenlet where gevent has patched threading). While Postgres is away the last
    known epochs stay: no rebuild can happen then either."""

    def __init__(self, read: Callable[[], Mapping[int, int]], period_s: float = 1.0) -> None:
        self._read = read
        self._period_s = period_s
        self._known: Mapping[int, int] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def of(self, shard: int) -> int:
        """The epoch of `shard`. Raises `SERVICE_UNAVAILABLE` until Postgres has been read once."""
        epoch = self._known.get(shard)
        if epoch is None:
            raise refusal("SERVICE_UNAVAILABLE", "The shards' epochs are not known yet")
        return epoch

    def known(self) -> Mapping[int, int]:
        """All epochs; empty until Postgres has been read once."""
        return self._known

    def refresh(self) -> None:
        """Reads them now. Raises `SERVICE_UNAVAILABLE`."""
        self._known = self._read()

    def start(self) -> None:
        """Reads them every `period_s` seconds from now on. Call it after fork."""
        self._thread = threading.Thread(target=self._run, name="epochs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=2)

    def _run(self) -> None:
        while True:
            try:
                self.refresh()
            except Refusal as refused:
                log.warning("epochs not refreshed: %s", refused.detail)
            except Exception:
                log.exception("epochs not refreshed")
            if self._stop.wait(self._period_s):
                return
