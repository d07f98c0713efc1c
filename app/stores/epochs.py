"""The epochs of all shards as this process last read them from Postgres (rule 3.6)."""

from collections.abc import Callable, Mapping
from itertools import count
from threading import Lock

from app.domain.errors import refusal


class Epochs:
    """While Postgres is away the last known epochs stay: no rebuild can happen then either."""

    def __init__(self, read: Callable[[], Mapping[int, int]]) -> None:
        self._read = read
        self._known: Mapping[int, int] = {}
        self._begun = count(1)
        self._latest = 0
        self._lock = Lock()

    def of(self, shard: int) -> int:
        """The epoch of `shard`. Raises `SERVICE_UNAVAILABLE` until Postgres has been read once."""
        epoch = self._known.get(shard)
        if epoch is None:
            raise refusal("SERVICE_UNAVAILABLE", "The shards' epochs are not known yet")
        return epoch

    def refresh(self) -> None:
        """Reads them now. Raises `SERVICE_UNAVAILABLE`.

        Who began earlier and was slower does not put back what another has learnt since: a shard that was just rebuilt
        would be closed to us for a second more."""
        begun = next(self._begun)
        known = self._read()
        with self._lock:
            if begun > self._latest:
                self._known, self._latest = known, begun
