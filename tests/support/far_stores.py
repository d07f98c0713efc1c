"""Stores as a process sees them that has a bad line to them."""

import time
from typing import Any

from app.domain.errors import refusal


class Deaf:
    """Redis for a web process that cannot tell it anything: that is left to the worker."""

    def __init__(self, reservations: Any) -> None:
        self._reservations = reservations

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reservations, name)

    def settle(self, *_: object) -> None:
        raise refusal("SERVICE_UNAVAILABLE", "deaf")

    learn = settle


class Slow:
    """Postgres, far away: between a ceiling and its commit there is time for others."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger

    def open_zone(self, *arguments: Any) -> Any:
        time.sleep(0.1)
        return self._ledger.open_zone(*arguments)
