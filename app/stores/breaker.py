"""A circuit breaker: while a server does not answer, callers are told so at once instead of waiting for it in turn.

Closed, it lets everybody through. After so many failures in a row it opens: everybody is refused, but for one caller a
short while, the probe; the first success closes it. Only silence counts: a server that refuses is one that answers.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.domain.errors import refusal


class Breaker:
    """For one server and one process. Safe for greenlets and threads: a race costs a probe too many, no more.

    `failures` in a row open it, 0 never does; `probe_every_s`: how often one caller may try meanwhile, seconds;
    `on_change` is told whether it is open now."""

    def __init__(
        self,
        server: str,
        failures: int,
        probe_every_s: float,
        on_change: Callable[[bool], None] = lambda is_open: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._most = failures
        self._probe_every_s = probe_every_s
        self._on_change = on_change
        self._clock = clock
        self._failures = 0
        self._probe_at = 0.0
        self.is_open = False

    @contextmanager
    def watching(self, is_silence: Callable[[Exception], bool]) -> Iterator[None]:
        """Around one call; `is_silence` knows the errors that say that no answer came. Raises `SERVICE_UNAVAILABLE` at
        once while it is open, unless the call is the probe."""
        self.admit()
        try:
            yield
        except Exception as error:
            if is_silence(error):
                self.failed()
            else:
                self.succeeded()
            raise
        self.succeeded()

    def admit(self) -> None:
        """Before a call that ends with `failed` or `succeeded`: `watching`, for whom a context manager costs too much.
        Raises as it does."""
        if not self.is_open:
            return
        now = self._clock()
        if now < self._probe_at:
            raise refusal("SERVICE_UNAVAILABLE", f"{self._server} does not answer; it is asked again in a moment")
        self._probe_at = now + self._probe_every_s

    def failed(self) -> None:
        """No answer came."""
        self._failures += 1
        if self._most and self._failures >= self._most and not self.is_open:
            self._probe_at = self._clock() + self._probe_every_s
            self.is_open = True
            self._on_change(True)

    def succeeded(self) -> None:
        """It answered, if only to refuse."""
        self._failures = 0
        if self.is_open:
            self.is_open = False
            self._on_change(False)
