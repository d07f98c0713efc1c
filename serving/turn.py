"""What is to happen at the end of a turn of the event loop: after all that its events have led to, before it waits.

The answers of a turn are sent there, one after the other. Each that is sent wakes its reader, and that costs more than
to send it; in between the work for other answers, the readers have gone back to sleep each time.
"""

from collections.abc import Callable
from typing import Any


class Turn:
    """`loop` is gevent's."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._last: list[Callable[[], None]] = []

    def at_its_end(self, action: Callable[[], None]) -> None:
        """`action` is called in the hub: it must not wait, and not raise."""
        if not self._last:
            self._loop.run_callback(self._end)
        self._last.append(action)

    def _end(self) -> None:
        last, self._last = self._last, []
        for action in last:
            action()
