"""A dependency that is away is said once, then once a minute, then once when it is back: a log must not drown in it."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

REMINDER_SECONDS: Final = 60.0


class Outage:
    """May be shared by threads that need the same thing: together they write one line a minute, even if the thing
    comes and goes several times a second."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._since: float | None = None
        self._said_at = -REMINDER_SECONDS
        self._said = False

    @property
    def is_down(self) -> bool:
        return self._since is not None

    def down(self, reason: object) -> None:
        """To be called at each failure, however often."""
        with self._lock:
            now = self._clock()
            if self._since is None:
                self._since = now
            if now - self._said_at < REMINDER_SECONDS:
                return
            self._said_at = now
            self._said = True
            log.warning("%s is away (for %.0f s), trying again: %s", self._name, now - self._since, reason)

    def up(self) -> None:
        """To be called at each success, however often: costs nothing while all is well."""
        if not self.is_down:
            return
        with self._lock:
            since, self._since = self._since, None
            said, self._said = self._said, False
            if since is not None and said:
                log.info("%s is back after %.0f s", self._name, self._clock() - since)
