"""What a Redis holds in the model: reservations, facts and keys, in a name space an epoch; and an outbox."""

import pickle
from dataclasses import dataclass, field
from typing import Any

from app.domain.model import Booking, Pin
from tests.model.terms import CURRENCY, PRICE_MINOR


@dataclass
class Hold:
    """A reservation, live or a short while ago."""

    booking_id: str
    event: str
    zone: str
    user: str
    quantity: int
    reserved_at: int
    deadline: int
    hold_until: int
    key: str
    fingerprint: str
    at: int
    version: int = 1
    state: str = "reserved"
    pin: int = 0
    pinned_at: int = 0
    payment: str = ""

    @property
    def is_live(self) -> bool:
        return self.state in ("reserved", "pinned")

    def booking(self) -> Booking:
        status: Any = "reserved" if self.state == "pinned" else self.state
        return Booking(
            booking_id=self.booking_id, event_id=self.event, zone_id=self.zone, user_id=self.user,
            quantity=self.quantity, unit_price_minor=PRICE_MINOR, currency=CURRENCY, status=status,
            reserved_at_ms=self.reserved_at, deadline_ms=self.deadline, version=self.version,
        )  # fmt: skip

    def as_pin(self, epoch: int) -> Pin:
        return Pin(
            booking=self.booking(), epoch=epoch, number=self.pin, idempotency_key=self.key,
            fingerprint=self.fingerprint, payment_id=self.payment or None,
        )  # fmt: skip


@dataclass
class Zone:
    facts: dict[str, Any]
    ceiling: tuple[int, int, int] | None = None
    """Number, capacity, since when: a cut of capacity is under way."""


@dataclass
class Space:
    """The keys of one epoch."""

    zones: dict[str, Zone] = field(default_factory=dict)
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    reservations: dict[str, Hold] = field(default_factory=dict)
    keys: dict[str, tuple[str, str, int, int]] = field(default_factory=dict)
    """By digest: fingerprint, booking, when, deadline."""

    def live(self) -> list[Hold]:
        return [hold for hold in self.reservations.values() if hold.is_live]

    def held(self, zone: str) -> int:
        return sum(hold.quantity for hold in self.live() if hold.zone == zone)

    def available(self, zone: str) -> int:
        """Too low for a moment when another's confirm is learned before its own settle: on the safe side, and heals."""
        known = self.zones[zone]
        capacity = min(known.facts["capacity"], known.ceiling[1]) if known.ceiling else known.facts["capacity"]
        return int(capacity - known.facts["confirmed"] - self.held(zone))

    def taken(self, user: str, zone: str | None = None) -> int:
        """What counts for the user's limit; of one zone alone, for the control."""
        confirmed = self.users[user]["confirmed"] if user in self.users else 0
        return int(confirmed + sum(h.quantity for h in self.live() if h.user == user and zone in (None, h.zone)))


@dataclass
class Server:
    """One server process and its data; `run_id` is the process'."""

    run_id: str = "1"
    installed: tuple[int, str] = (0, "")
    frozen: str | None = None
    seq: dict[int, int] = field(default_factory=dict)
    outbox: list[dict[str, Any]] = field(default_factory=list)
    spaces: dict[int, Space] = field(default_factory=dict)

    def image(self) -> bytes:
        return pickle.dumps(self)

    def is_open(self, epoch: int) -> bool:
        return self.frozen is None and self.installed == (epoch, self.run_id)
