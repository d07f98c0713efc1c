"""Threads that never die silently: an error is logged whole and the loop goes on after a pause."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from worker.broker import KafkaError
from worker.outage import Outage

log = logging.getLogger(__name__)

Body = Callable[[threading.Event], None]
"""Runs until the event is set; may return or raise earlier, and is then called again."""

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
# A body that has run this long was well: its next error starts again with the short pause.
WELL_AFTER_SECONDS: Final = 30.0


def guarded(name: str, body: Body, stop: threading.Event, kafka: Outage) -> None:
    """Runs `body` again and again until `stop` is set. Kafka away is an outage (one line a minute); the bodies know
    themselves what to do when Redis or Postgres is away; anything else is a bug, logged whole each time."""
    pause = FIRST_PAUSE_SECONDS
    while not stop.is_set():
        started = time.monotonic()
        try:
            body(stop)
        except KafkaError as error:
            kafka.down(error)
        except Exception:
            log.exception("%s: unexpected", name)
        if time.monotonic() - started > WELL_AFTER_SECONDS:
            pause = FIRST_PAUSE_SECONDS
        stop.wait(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


class Threads:
    """The worker's loops, each in a thread of its own."""

    def __init__(self, stop: threading.Event, kafka: Outage) -> None:
        self._stop = stop
        self._kafka = kafka
        self._threads: list[threading.Thread] = []

    def start(self, name: str, body: Body) -> None:
        arguments = (name, body, self._stop, self._kafka)
        # Daemons: a thread that hangs in a dead socket must not keep the process past its grace.
        thread = threading.Thread(target=guarded, args=arguments, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self, seconds: float) -> list[str]:
        """Waits until all have ended, at most `seconds`; the names of those that have not."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return [thread.name for thread in self._threads if thread.is_alive()]
