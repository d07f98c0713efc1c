"""tail: what happens to all bookings, as it is recorded; every transition once."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.domain.model import Happened
from app.domain.ports import HistoryLog

PAGE: Final = 500
"""Lines of one read."""
_PATIENCE_S: Final = 60.0
"""For a number that was left out: twice what the longest transaction may take before it commits."""
_MOST_MISSING: Final = 1_000
"""Numbers of refused duplicates are never used: of those left out, only the latest are worth asking for."""


@dataclass(slots=True)
class Tail:
    """Reads on from where it is. `after` is the number of the last line before the first to be told."""

    log: HistoryLog
    after: int
    clock: Callable[[], float] = time.monotonic
    _missing: dict[int, float] = field(default_factory=dict)
    """Numbers below `after` that were not there yet, and when that was noticed."""

    def __call__(self) -> Sequence[Happened]:
        """The next lines, `PAGE` at most besides those that come late; none when there is nothing new.

        Raises `SERVICE_UNAVAILABLE`; nothing is lost by asking again."""
        lines = self.log.read(self.after, tuple(self._missing), PAGE)
        numbers = {line.number for line in lines}
        now = self.clock()
        latest = max([self.after, *numbers])
        left_out = set(range(max(self.after + 1, latest - _MOST_MISSING), latest)) - numbers
        known = {n: since for n, since in self._missing.items() if n not in numbers and now - since < _PATIENCE_S}
        self._missing = dict([*known.items(), *((n, now) for n in sorted(left_out))][-_MOST_MISSING:])
        self.after = latest
        return lines
