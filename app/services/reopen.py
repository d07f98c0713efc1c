"""reopen: whoever meets a closed shard may rebuild it, so that selling goes on with every worker dead (rule 3.7)."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from app.domain.errors import Refusal
from app.services.rebuild import Rebuild

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Reopen:
    """Remembers the closed shards that requests have met, and rebuilds those that stay closed.

    `renew` has all connections made anew: a server that says so may have been replaced, and live on. `grace_s`: the
    worker goes first, because it also reads what only the log holds; a web process that rebuilds makes that part
    void."""

    rebuild: Rebuild
    renew: Callable[[], None]
    grace_s: float = 5.0
    clock: Callable[[], float] = time.monotonic
    _met: dict[int, float] = field(default_factory=dict)

    def met(self, shard: int) -> None:
        """A request was refused because `shard` is closed."""
        self._met.setdefault(shard, self.clock())

    def __call__(self) -> None:
        """Rebuilds what has been closed for longer than the grace."""
        if self._met:
            self.renew()
        for shard, since in list(self._met.items()):
            if self.clock() - since < self.grace_s:
                continue
            try:
                if self.rebuild(shard):  # or found it open
                    self._met.pop(shard, None)
            except Refusal as refused:  # one shard does not keep the others closed
                log.warning("shard %d: not rebuilt: %s", shard, refused.detail)
