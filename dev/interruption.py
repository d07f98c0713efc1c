"""Ctrl-C as a fact that every wait looks at, not as an exception that may strike between a fork and its pid file."""

import signal
import threading
from types import FrameType

from dev.errors import Interrupted

_interrupted = threading.Event()


def install() -> None:
    """Make SIGINT, SIGTERM and SIGHUP end the waits of this process, in all its threads.

    Explicitly, because a shell starts its background jobs with SIGINT ignored.
    """

    def note(_signal: int, _frame: FrameType | None) -> None:
        _interrupted.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, note)


def sleep(seconds: float) -> None:
    """Sleep, or raise Interrupted as soon as a signal asks for the end."""
    if _interrupted.wait(seconds):
        raise Interrupted("interrupted")
