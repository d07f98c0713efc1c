"""Work that a process does beside its requests, at intervals."""

import logging
import threading
from collections.abc import Callable

from app.domain.errors import Refusal

log = logging.getLogger(__name__)


class Every:
    """Calls `action` at once and then every `period_s` seconds, in a thread of its own (a greenlet where gevent has
    patched threading). What goes wrong is logged, and the next call comes all the same."""

    _LEAST_S = 0.1
    """Between two calls, however often `soon` asks."""

    def __init__(self, period_s: float, action: Callable[[], object], name: str) -> None:
        self._period_s = period_s
        self._action = action
        self._name = name
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Call it after fork."""
        self._thread.start()

    def soon(self) -> None:
        """Makes the next call come at once: there is reason to think that something has changed."""
        self._wake.set()

    def stop(self) -> None:
        """Waits for a call under way, two seconds at most."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._action()
            except Refusal as refused:
                log.warning("%s: %s", self._name, refused.detail)
            except Exception:
                log.exception("%s: failed, and is tried again", self._name)
            self._stop.wait(self._LEAST_S)
            self._wake.wait(self._period_s - self._LEAST_S)
            self._wake.clear()
