"""reopen: whoever meets a closed shard may rebuild it, so that selling goes on with every worker dead (rule 3.7)."""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from app.domain.errors import Refusal
from app.services.rebuild import Rebuild

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Reopen:
    """Remembers the closed shards that requests have met, and rebuilds those that stay closed.

    A worker goes first, because it also reads what only the log holds; a web process that rebuilds makes that part
    void. `grace_s` is for a worker that is about to start, `patience_s` for one that lives and may hang. Both are
    counted from when both stores answer: before that, no worker can do it either."""

    rebuild: Rebuild
    closed_shards: Callable[[], Collection[int]]
    worker_lives: Callable[[], bool]
    grace_s: float = 5.0
    patience_s: float = 30.0
    clock: Callable[[], float] = time.monotonic
    _met: dict[int, float] = field(default_factory=dict)

    def met(self, shard: int) -> None:
        """A request was refused because `shard` is closed."""
        self._met.setdefault(shard, self.clock())

    def __call__(self) -> None:
        """Rebuilds what nobody else has opened in time."""
        if not self._met:
            return
        try:
            closed = self.closed_shards()
            wait_s = self.patience_s if closed and self.worker_lives() else self.grace_s
        except Refusal:
            self._met = dict.fromkeys(self._met, self.clock())
            raise
        self._met = {shard: since for shard, since in self._met.items() if shard in closed}
        for shard, since in list(self._met.items()):
            if self.clock() - since < wait_s:
                continue
            try:
                if self.rebuild(shard):  # forgotten again a moment later, it is met anew
                    self._met.pop(shard, None)
            except Refusal as refused:
                log.warning("shard %d: not rebuilt: %s", shard, refused.detail)
            except Exception:  # a bug that one shard meets does not keep the others closed
                log.exception("shard %d: not rebuilt", shard)
