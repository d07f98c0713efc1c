"""What is to happen at the end of a turn of the event loop: after all that its events have led to, before it waits.

The answers of a turn are sent there, one after the other. Each that is sent wakes its reader, and that costs more than
to send it; in between the work for other answers, the readers have gone back to sleep each time. An application may
have something done there too, before the answer that it is making is sent: the same small work for many requests in a
row costs half of what it costs in the midst of each.
"""

import sys
from collections.abc import Callable
from typing import Any, Final

ENVIRON_KEY: Final = "serving.at_turns_end"
"""Under which an application finds `Turn.at_its_end`."""


class Turn:
    """`hub` is gevent's."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self._last: list[Callable[[], None]] = []

    def at_its_end(self, action: Callable[[], None]) -> None:
        """`action` is called in the hub, in its turn: it must not wait. What it raises is shown as gevent does."""
        if not self._last:
            self._hub.loop.run_callback(self._end)
        self._last.append(action)

    def _end(self) -> None:
        last, self._last = self._last, []
        for action in last:
            try:
                action()
            except Exception:
                self._hub.handle_error(action, *sys.exc_info())
