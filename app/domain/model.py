"""The records that travel between floors. Times are Unix milliseconds, money is integer minor units."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from app.domain.records import record

Status = Literal["reserved", "confirmed", "released", "expired", "cancelled"]
PaymentState = Literal[
    "intent", "pending", "captured", "declined", "failed", "voiding", "voided", "refunding", "refunded"
]


@record(frozen=True, slots=True)
class Order:
    """What a client asks for: seats of one zone, perhaps at a price that it saw, perhaps under a key that makes retries
    safe."""

    event_id: str
    zone_id: str
    quantity: int
    seen_price: int | None = None
    """In ten-thousandths of the currency; None: the client names no price."""
    idempotency_key: str | None = None

    def under(self, key: str | None) -> "Order":
        """The same with this idempotency key."""
        return Order(self.event_id, self.zone_id, self.quantity, self.seen_price, key)


@record(frozen=True, slots=True, kw_only=True)
class Booking:
    """A reservation or what became of it, as one of the two stores knows it."""

    booking_id: str
    event_id: str
    zone_id: str
    user_id: str
    quantity: int
    unit_price_minor: int
    currency: str
    status: Status
    reserved_at_ms: int
    deadline_ms: int
    version: int = 1
    confirmed_at_ms: int | None = None
    confirmation_code: str | None = None
    payment_id: str | None = None
    ended_at_ms: int | None = None
    cause: str | None = None
    payment_state: PaymentState | None = None
    """Of the latest attempt to pay for it; None where there was none, or where nobody asked Postgres."""
    paid_booking_id: str | None = None
    """What that attempt has come to pay for instead: this one had expired."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One line of a booking's history. `version` counts the booking's transitions from 1, over all epochs."""

    version: int
    status: Status
    at_ms: int
    cause: str


@dataclass(frozen=True, slots=True)
class Happened:
    """One line of the history of all bookings. `number` rises, but not without gaps."""

    number: int
    booking_id: str
    event_id: str
    zone_id: str
    user_id: str
    quantity: int
    status: Status
    cause: str
    at_ms: int


@record(frozen=True, slots=True)
class Held:
    """The answer to reserve: the reservation, whether it is a replay, and how long it still has by Redis' clock."""

    booking: Booking
    replayed: bool
    expires_in_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A reservation pinned for confirmation: all that Postgres needs to decide, row or no row."""

    booking: Booking
    epoch: int
    number: int
    idempotency_key: str
    fingerprint: str
    payment_id: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What Redis knows of one reservation. `pinned`: Postgres may have decided already and must be asked. `pins`: how
    often it was pinned; more than never, and Postgres may know of a payment."""

    booking: Booking
    pinned: bool
    expires_in_ms: int
    at_ms: int
    """When its latest transition was made."""
    pins: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event and the terms of its sale. No opening or closing time means: always open, never closing."""

    event_id: str
    name: str
    opens_at_ms: int | None = None
    closes_at_ms: int | None = None
    hold_seconds: int = 600
    hold_seconds_max: int = 1800
    max_per_user: int = 10
    max_per_reservation: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A zone as its operator describes it."""

    event_id: str
    zone_id: str
    name: str
    capacity: int
    price_minor: int
    currency: str
    confirmed: int = 0


@dataclass(frozen=True, slots=True)
class Seats:
    """A zone's seats at this instant. `available` counts seats whose deadline has passed; it is never below 0."""

    capacity: int
    confirmed: int
    held: int
    available: int
    version: int = field(default=0, compare=False)
    """Of Postgres' facts, as Redis knows them; 0 where it knows none."""


Facts = dict[str, object]
"""Postgres' figures of one zone or one user with their version, as `zone_facts` and `user_facts` (sql/functions) write
them. They are passed on unread: Redis keeps the newest."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What a change in Postgres has to tell Redis: facts of zones and of users."""

    zones: tuple[Facts, ...] = ()
    users: tuple[Facts, ...] = ()

    @classmethod
    def newest(cls, many: "Iterable[Learned]") -> "Learned":
        """All of it in one, each zone and each user once, with the facts of the highest version."""
        zones: dict[object, Facts] = {}
        users: dict[object, Facts] = {}
        for learned in many:
            for kind, facts_of_kind, id_of in ((zones, learned.zones, "zone_id"), (users, learned.users, "user_id")):
                for facts in facts_of_kind:
                    known = kind.setdefault((facts["event_id"], facts[id_of]), facts)
                    if cast(int, facts["version"]) > cast(int, known["version"]):
                        kind[facts["event_id"], facts[id_of]] = facts
        return cls(tuple(zones.values()), tuple(users.values()))


@dataclass(frozen=True, slots=True)
class Decision:
    """Postgres' word on one pin. `outcome` is CONFIRMED, ENDED, UNDECIDED, VOIDED, OPEN, PENDING or a refusal's code;
    `reason` says which end, `booking` is the row that decides."""

    booking_id: str
    outcome: str
    booking: Booking | None = None
    reason: str | None = None
    learned: Learned = field(default_factory=Learned)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A cut of capacity under way: Redis fences it in `epoch`, Postgres commits or voids its `number` (rule 3.8)."""

    event_id: str
    zone_id: str
    epoch: int
    number: int


@dataclass(frozen=True, slots=True)
class Swept:
    """One call of expire: how many ended, whether more are due, and the pins and ceilings that are past their limit."""

    expired: int
    more: bool
    overdue: tuple[Pin, ...]
    ceilings: tuple[Ceiling, ...] = ()


@dataclass(frozen=True, slots=True)
class Registered:
    """What Postgres expects a shard of Redis to know: how far it has been recorded, and its zones, each as name,
    version, capacity, confirmed, price."""

    epoch: int
    highest_seq: int
    zones: tuple[tuple[str, int, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class ShardBacklog:
    """What waits in a shard: entries of its outbox and the age of the oldest, how late the sweeper is, and pins."""

    waiting: int
    oldest_ms: int
    overdue_ms: int
    pins: int


@dataclass(frozen=True, slots=True)
class LedgerBacklog:
    """What waits in Postgres: public events and the age of the oldest, and dead letters."""

    waiting: int
    oldest_seconds: float
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Counted:
    """A zone in Postgres: its own figures, the sums of its bookings, and the sums that their history folds to."""

    event_id: str
    zone_id: str
    capacity: int
    confirmed: int
    version: int
    booked_confirmed: int
    booked_reserved: int
    folded_confirmed: int
    folded_reserved: int


@dataclass(frozen=True, slots=True)
class LiveZone:
    """A zone in Redis at `epoch`, with the seats of each live reservation. `whole`: it was read at one moment."""

    epoch: int
    capacity: int
    confirmed: int
    held: int
    version: int
    quantities: Mapping[str, int]
    whole: bool


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a shard's image, all of one kind: JSON objects, as Postgres writes them and Redis reads them."""

    kind: str
    rows: Sequence[str]


@dataclass(frozen=True, slots=True)
class Image:
    """All that Redis has to hold of a shard at `epoch`. `ended`: reservations that it has no room for."""

    epoch: int
    ended: int
    rows: int
    chunks: Iterator[Chunk]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of Kafka that could not be handled. `state`: waiting, replayed or discarded."""

    number: int
    topic: str
    partition: int
    offset: int
    cause: str
    payload: bytes
    key: bytes
    headers: tuple[tuple[str, bytes | None], ...]
    state: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Extended:
    """The answer to extend; `replayed` under a key that came before."""

    booking: Booking
    replayed: bool
    expires_in_ms: int


@dataclass(frozen=True, slots=True)
class Stock:
    """A zone in Postgres: seats sold, and reserved as far as it has been recorded."""

    event_id: str
    zone_id: str
    capacity: int
    confirmed: int
    reserved: int
    version: int
