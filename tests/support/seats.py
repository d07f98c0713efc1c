"""A seat shop on real stores: one Wiring, one event a test, a clock that the test moves."""

import itertools
import re
import time
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest

from app.domain.errors import Refusal
from app.domain.model import Event, Held, Order, Seats, Zone
from app.settings import Settings
from app.wiring import Wiring, build_worker

_numbers = itertools.count(1)
PRICE_MINOR = 15_000
HOLD_SECONDS = 600


@dataclass
class Clock:
    """Unix milliseconds, moved by hand."""

    ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    def __call__(self) -> int:
        return self.ms

    def advance(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


def settings(database_url: str, redis_url: str, **others: Any) -> Settings:
    """The settings of a process on these two servers."""
    environment = {
        "APP_ENV": "development",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "AUTH_MODE": "gateway",
        "ADMIN_TOKEN": "admin-token-of-the-tests",
        **{name.upper(): str(value) for name, value in others.items()},
    }
    return Settings.from_environment(environment)


def open_shop(database_url: str, redis_url: str, clock: Clock | None = None, **others: Any) -> Wiring:
    """A started Wiring whose shards are all open. Close it."""
    wiring = replace(build_worker(settings(database_url, redis_url, **others)), now=clock)
    wiring.start()
    reopen(wiring)
    return wiring


def reopen(wiring: Wiring) -> None:
    """Rebuilds every closed shard and learns the new epochs."""
    for shard in wiring.closed_shards():
        assert wiring.rebuild()(shard)
    wiring.epochs.refresh()


@dataclass
class Sale:
    """One event with zone A of so many seats, and the verbs on it in few words."""

    shop: Wiring
    clock: Clock
    event_id: str

    def reserve(self, user: str = "ann", quantity: int = 1, zone: str = "A", **order: Any) -> Held:
        return self.shop.reserve(user, Order(self.event_id, zone, quantity, **order))

    def seats(self, zone: str = "A") -> Seats:
        return self.shop.availability.zone(self.event_id, zone).seats

    def refused(self, code: str, verb: Any, *arguments: Any, **named: Any) -> Refusal:
        """Calls `verb`, which must be refused with `code`."""
        with pytest.raises(Refusal) as caught:
            verb(*arguments, **named)
        assert caught.value.kind.code == code, caught.value
        return caught.value

    def record(self) -> None:
        """What the relay and the consumer do with this event's outbox, without Kafka."""
        for shard in self.shop.shards:
            while batch := self.shop.outbox.read(shard, 500):
                self.shop.recorder.record(batch)
                self.shop.outbox.acknowledge({shard: batch[-1]["seq"]})

    def rows(self, query: Any, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.shop.postgres.rows(query, parameters)

    def keys(self) -> list[tuple[Any, ...]]:
        """(key, booking) of the idempotency keys that a rebuild would bring back."""
        return self.rows(
            "SELECT k.key, k.booking_id::text FROM booking.events AS e, booking.kept_keys(e.shard) AS k "
            "WHERE e.event_id = %s AND k.event_id = e.event_id ORDER BY k.user_id, k.key",
            self.event_id,
        )

    def history(self, booking_id: str) -> list[tuple[Any, ...]]:
        """(version, status, cause) of every transition."""
        return self.rows(
            "SELECT version, status, cause FROM booking.booking_history WHERE booking_id = %s ORDER BY epoch, version",
            booking_id,
        )


def open_sale(shop: Wiring, clock: Clock, capacity: int = 10, event_id: str | None = None, **terms: Any) -> Sale:
    """A fresh event on sale, with one zone A."""
    event_id = event_id or f"event-{next(_numbers)}"
    shop.open_zone.event(Event(**{"event_id": event_id, "name": event_id, "hold_seconds": HOLD_SECONDS, **terms}))
    shop.open_zone(
        Zone(event_id=event_id, zone_id="A", name="A", capacity=capacity, price_minor=PRICE_MINOR, currency="THB")
    )
    return Sale(shop, clock, event_id)


def key_of(name: str) -> bytes:
    """As Redis has it: a booking's id is bytes there."""
    before, r, booking_id = re.fullmatch(r"(.*?)((?::r:)?)([0-9a-f-]{36})?", name).groups()  # type: ignore[union-attr]
    return f"{before}{r}".encode() + (UUID(booking_id).bytes if booking_id else b"")
