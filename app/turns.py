"""Turns of the event loop: what each of many requests would do for itself is done once for all of a turn."""

import sys
from collections.abc import Callable
from functools import cached_property
from typing import Any


class AtTurnsEnd:
    """Has `what` called at the end of the turn in which `ask` was called, however often; at once where gevent has not
    taken the place of threads. `what` must not wait for anything. For one event loop."""

    def __init__(self, what: Callable[[], object]) -> None:
        self._what = what
        self._is_asked = False

    def ask(self) -> None:
        if not self._is_asked:
            self._is_asked = True
            self._later(self._run)

    @cached_property
    def _later(self) -> Callable[[Callable[[], object]], Any]:
        if not is_gevent_patched():
            return lambda run: run()
        from gevent.hub import get_hub

        return get_hub().loop.run_callback  # type: ignore[no-any-return]

    def _run(self) -> None:
        self._is_asked = False
        self._what()


def is_gevent_patched() -> bool:
    """Whether threads are greenlets. gevent is not loaded to find out that it does not run."""
    if "gevent" not in sys.modules:
        return False
    from gevent.monkey import is_module_patched

    return bool(is_module_patched("threading"))
