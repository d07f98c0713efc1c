"""together: callers that come at the same time share one call, and each gets its own answer.

The first caller's batch goes at once. While a call is under way the next batch fills; it goes when that call has ended,
when it is full, or when its first caller has waited long enough, as soon as there is a lane for it. The calls run in
threads of their own (greenlets where gevent has patched threading), so a caller that gives up takes nobody along.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from app.domain.errors import Refusal, refusal

Item = TypeVar("Item")
Answer = TypeVar("Answer")
_UNKNOWN: Final = "It is not known in time what has become of this"


class _Batch(Generic[Item, Answer]):
    def __init__(self) -> None:
        self.items: dict[Hashable, Item] = {}
        self.answers: Mapping[Hashable, Answer | Exception] = {}
        self.taken = False
        self.done = threading.Event()


class Together(Generic[Item, Answer]):
    """`act` is given several items and answers by their keys. No two items of one call have the same key.

    `most`: items of one call; `lanes`: calls under way at once; `linger_s`: how long a batch that is not full waits for
    company while a call is under way; `queue_most`: items that may wait; `timeout_s`: how long a caller waits in all.
    """

    def __init__(
        self,
        act: Callable[[Sequence[Item]], Mapping[Hashable, Answer]],
        key: Callable[[Item], Hashable],
        *,
        most: int = 64,
        lanes: int = 2,
        linger_s: float = 0.005,
        queue_most: int = 2_000,
        timeout_s: float = 0.8,
    ) -> None:
        self._act = act
        self._key = key
        self._most = most
        self._lanes = lanes
        self._linger_s = linger_s
        self._queue_most = queue_most
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._batches: deque[_Batch[Item, Answer]] = deque()
        self._waiting = 0
        self._busy = 0

    def __call__(self, item: Item) -> Answer:
        """Raises what `act` raises for this item; `SERVICE_UNAVAILABLE` when too many wait or time is up: then it may
        have been done, or may still be."""
        deadline = time.monotonic() + self._timeout_s
        key = self._key(item)
        batch, is_first = self._join(key, item)
        try:
            if is_first and not batch.done.wait(self._linger_s):
                self._hurry(batch)
            batch.done.wait(deadline - time.monotonic())
        finally:
            self._leave(batch, key)
        if not batch.answers:
            raise refusal("SERVICE_UNAVAILABLE", _UNKNOWN)
        answer = batch.answers[key]
        if isinstance(answer, Refusal):  # it may be that of all: each raises its own
            raise Refusal(answer.kind, answer.detail, answer.extensions) from answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _join(self, key: Hashable, item: Item) -> tuple[_Batch[Item, Answer], bool]:
        """The batch that takes the item along, and whether the item is its first."""
        with self._lock:
            if self._waiting >= self._queue_most:
                raise refusal("SERVICE_UNAVAILABLE", "Too many wait for the same")
            batch = self._batches[-1] if self._batches else None
            if batch is None or len(batch.items) >= self._most or key in batch.items:
                batch = _Batch()
                self._batches.append(batch)
            batch.items[key] = item
            self._waiting += 1
            is_first = len(batch.items) == 1
            go = not self._busy or (len(batch.items) == self._most and self._busy < self._lanes)
            self._busy += go
        if go:
            self._start()
        return batch, is_first

    def _hurry(self, batch: _Batch[Item, Answer]) -> None:
        with self._lock:
            go = not batch.taken and self._busy < self._lanes
            self._busy += go
        if go:
            self._start()

    def _leave(self, batch: _Batch[Item, Answer], key: Hashable) -> None:
        """What nobody waits for any more is not begun."""
        with self._lock:
            if not batch.taken and batch.items.pop(key, None) is not None:
                self._waiting -= 1

    def _start(self) -> None:
        try:
            threading.Thread(target=self._work, name="together", daemon=True).start()
        except BaseException:
            self._ended()
            raise

    def _work(self) -> None:
        """One lane, as long as there is something to do."""
        try:
            while batch := self._take():
                try:
                    batch.answers = self._answers(batch.items)
                finally:
                    batch.done.set()
        except BaseException:
            self._ended()
            raise

    def _take(self) -> _Batch[Item, Answer] | None:
        """The next batch; None ends the lane, before anybody can count on it."""
        with self._lock:
            while self._batches:
                batch = self._batches.popleft()
                batch.taken = True
                self._waiting -= len(batch.items)
                if batch.items:
                    return batch
            self._busy -= 1
        return None

    def _ended(self) -> None:
        with self._lock:
            self._busy -= 1

    def _answers(self, items: Mapping[Hashable, Item]) -> Mapping[Hashable, Answer | Exception]:
        """An error that has to do with the data of one item is that item's alone."""
        try:
            return self._act(list(items.values()))
        except Exception as error:
            if len(items) == 1 or (isinstance(error, Refusal) and error.kind.code == "SERVICE_UNAVAILABLE"):
                return dict.fromkeys(items, error)
        alone: dict[Hashable, Any] = {}
        for key, item in items.items():
            alone |= self._answers({key: item})
        return alone
