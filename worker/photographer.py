"""photographer: has both stores' figures written down, again and again. Any number may run."""

import threading
from collections.abc import Callable

from app.domain.errors import Refusal
from worker.outage import Outage


class Photographer:
    def __init__(self, photograph: Callable[[], int], period_s: float) -> None:
        self._photograph = photograph
        self._period_s = period_s
        self._store = Outage("Redis or Postgres (for the photographs)")

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(self._period_s):
            self.take()

    def take(self) -> None:
        try:
            self._photograph()
            self._store.up()
        except Refusal as refused:
            if refused.kind.code != "SERVICE_UNAVAILABLE":
                raise
            self._store.down(refused.detail)
