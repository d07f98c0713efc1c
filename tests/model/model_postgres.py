"""What Postgres is in the model: functions that are transactions under the shard's lock, and never forget.

This is the specification of `sql/functions/`, in words of Python. A transaction takes its locks, waits for a turn
(others run meanwhile, or it dies and nothing of it stays) and commits. No test may use it in the place of a server."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from app.domain import idempotency
from app.domain.errors import refusal
from app.domain.model import Booking, Ceiling, Decision, Learned, PaymentState, Pin, Zone
from app.domain.ports import ENTRY_KINDS, Entry
from app.stores.outboxes import OutboxRow
from tests.model.stage import Stage
from tests.model.terms import (
    CAPACITIES,
    CURRENCY,
    EVENT,
    HOLD_SECONDS,
    HOLD_SECONDS_MAX,
    LIMIT,
    PRICE_MINOR,
    RECORDED_AS,
    SHARD,
    Clock,
)
from tests.support.transitions import Transition

Key = tuple[str, str, str]
"""User, verb, key."""


@dataclass
class Row:
    booking_id: str
    zone: str
    user: str
    quantity: int
    reserved_at: int
    deadline: int
    key: str
    status: Any = "reserved"
    version: int = 1
    epoch: int = 1
    """Of its last transition."""
    void_pin: int = 0
    payment_id: str | None = None
    cause: str = "reserve"

    def booking(self) -> Booking:
        return Booking(
            booking_id=self.booking_id, event_id=EVENT, zone_id=self.zone, user_id=self.user, quantity=self.quantity,
            unit_price_minor=PRICE_MINOR, currency=CURRENCY, status=self.status, reserved_at_ms=self.reserved_at,
            deadline_ms=self.deadline, payment_id=self.payment_id, cause=self.cause, version=self.version,
        )  # fmt: skip


@dataclass
class Attempt:
    number: int
    booking_id: str
    payment_id: str
    state: PaymentState = "intent"
    reference: str | None = None
    replaces: str | None = None

    @property
    def is_open(self) -> bool:
        return self.state in ("intent", "pending")


@dataclass
class ModelPostgres:
    """Postgres as the ports `Ledger` and `Recorder`, as far as schedules ask."""

    stage: Stage
    clock: Clock
    off: str | None
    epoch: int = 1
    zones: dict[str, dict[str, int]] = field(default_factory=dict)
    users: dict[str, list[int]] = field(default_factory=dict)
    """Confirmed seats, version."""
    rows: dict[str, Row] = field(default_factory=dict)
    keys: dict[Key, tuple[str, str, int, int]] = field(default_factory=dict)
    """Fingerprint, booking, when, deadline."""
    history: dict[tuple[str, int, int], Transition] = field(default_factory=dict)
    """By booking, epoch and version."""
    attempts: list[Attempt] = field(default_factory=list)
    outbox: list[OutboxRow] = field(default_factory=list)
    told: int = 0
    shared: int = 0
    exclusive: bool = False
    rebuilder: bool = False
    locked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for name, capacity in CAPACITIES.items():
            self.zones[name] = {"capacity": capacity, "confirmed": 0, "version": 1, "ceiling_done": 0}

    # --- transactions ---

    @contextmanager
    def transaction(self, *locks: str, shard: bool = True) -> Iterator[int]:
        """The epoch as the transaction reads it, once it has its locks."""
        self.stage.pause()
        while (shard and self.exclusive) or self.locked.intersection(locks):
            self.stage.pause()
        self.shared += shard
        self.locked.update(locks)
        epoch = self.epoch
        try:
            self.stage.pause()
            yield epoch
        finally:
            self.shared -= shard
            self.locked.difference_update(locks)

    def locks(self, pins: Sequence[Pin], *more: str) -> list[str]:
        bookings = [pin.booking for pin in pins]
        whole = [f"user {b.user_id}" for b in bookings] + [f"zone {b.zone_id}" for b in bookings] if more else []
        return [f"booking {b.booking_id}" for b in bookings] + whole

    # --- the parts of functions ---

    def zone_facts_of(self, name: str) -> dict[str, Any]:
        return {
            "event_id": EVENT, "zone_id": name, **self.zones[name], "hold_ms": HOLD_SECONDS * 1000,
            "hold_max_ms": HOLD_SECONDS_MAX * 1000, "per_user": LIMIT,
        }  # fmt: skip

    def user_facts(self, user: str) -> dict[str, Any]:
        confirmed, version = self.users.get(user, [0, 0])
        return {"event_id": EVENT, "user_id": user, "confirmed": confirmed, "version": version}

    def tell(self, row: Row | None, data: Mapping[str, Any], event_id: str, kind: str, key: str) -> None:
        self.told += 1
        about = {"booking": {"booking_id": row.booking_id, "event_id": EVENT, "status": row.status}} if row else {}
        self.outbox.append(OutboxRow(self.told, event_id, kind, key, SHARD, {**about, **data}, self.clock.ms))

    def _tell_booking(self, row: Row, counts: bool = False) -> None:
        facts = {"zone": self.zone_facts_of(row.zone), "user": self.user_facts(row.user)} if counts else {}
        self.tell(row, facts, f"{row.booking_id}:{row.status}", f"booking.{row.status}", row.booking_id)

    def _tell_zone(self, name: str) -> None:
        facts = self.zone_facts_of(name)
        self.tell(None, {"zone": facts}, f"{EVENT}/{name}:{facts['version']}", "zone.opened", EVENT)

    def _count(self, row: Row, seats: int) -> None:
        zone, user = self.zones[row.zone], self.users.setdefault(row.user, [0, 0])
        zone["confirmed"] += seats
        zone["version"] += 1
        user[0] += seats
        user[1] += 1

    def _claim(self, user: str, verb: str, key: str, record: tuple[str, str, int, int]) -> None:
        known = self.keys.get((user, verb, key))
        # Of reserve the booking owns its key: the later one, for Redis had let go of the earlier.
        apart = 1 if verb == "reserve" else idempotency.KEPT_MS
        makes_way = known is None or (known[2] <= record[2] - apart and self.off != "keys_make_way")
        if key and makes_way:
            self.keys[user, verb, key] = record

    def _note(self, booking_id: str, epoch: int, version: int, status: str, cause: str) -> None:
        """A transition that is there already stands."""
        transition = Transition(epoch, version, status, cause, epoch < self.epoch)
        self.history.setdefault((booking_id, epoch, version), transition)

    def _insert(
        self, b: Booking, key: str, fingerprint: str, epoch: int, live: bool, live_only: bool, status: str
    ) -> Row | None:
        """The row, if it is new."""
        if b.booking_id in self.rows or (live_only and not live):
            return None
        row = self.rows[b.booking_id] = Row(
            b.booking_id, b.zone_id, b.user_id, b.quantity, b.reserved_at_ms, b.deadline_ms, key, status, b.version,
            epoch,
        )  # fmt: skip
        self._note(b.booking_id, epoch, 1, "reserved", "reserve")
        if status == "reserved" and not live:
            self.end(row, "expired", "rebuild", epoch if self.off == "a_rebuild_has_numbers" else self.epoch)
        if live or self.off == "dead_own_no_key":
            self._claim(b.user_id, "reserve", key, (fingerprint, b.booking_id, b.reserved_at_ms, b.deadline_ms))
        return row

    def insert_pins(self, pins: Sequence[Pin], epoch: int) -> None:
        for pin in pins:
            live = pin.epoch == epoch or self.off == "pin_epoch"
            self._insert(pin.booking, pin.idempotency_key, pin.fingerprint, pin.epoch, live, True, "reserved")

    def end(self, row: Row, status: str, cause: str, epoch: int, version: int = 0) -> None:
        """What Postgres decides is numbered after what it knows, and after `version`."""
        row.status, row.cause, row.epoch, row.version = status, cause, epoch, max(row.version, version) + 1
        self._note(row.booking_id, epoch, row.version, status, cause)
        self._tell_booking(row, counts=status in ("confirmed", "cancelled"))

    def deadline_in_the_image(self, row: Row) -> int:
        return row.reserved_at + HOLD_SECONDS * 1000 if self.off == "the_image_has_the_deadlines" else row.deadline

    def is_paying(self, row: Row) -> bool:
        return self.open_attempt(row.booking_id) is not None and self.off != "payments_keep_their_pin"

    def open_attempt(self, booking_id: str) -> Attempt | None:
        return next((a for a in self.attempts if a.booking_id == booking_id and a.is_open), None)

    # --- Recorder ---

    def record(self, entries: Sequence[Entry]) -> None:
        locks = [f"booking {entry['booking_id']}" for entry in entries]
        locks += [f"key {entry['user_id']} {entry.get('verb_key') or entry['idempotency_key']}" for entry in entries]
        with self.transaction("seq", *locks, shard=self.off != "recording_takes_the_lock") as epoch:
            for kind in ENTRY_KINDS:
                for entry in entries:
                    if entry["kind"] == kind:
                        self._record(kind, entry, epoch)

    def _record(self, kind: str, entry: Entry, epoch: int) -> None:
        of_epoch = int(entry["seq"].partition("-")[0])
        live = of_epoch == epoch or self.off == "recording_reads_the_epoch"
        booking = Booking(
            booking_id=entry["booking_id"], event_id=EVENT, zone_id=entry["zone_id"], user_id=entry["user_id"],
            quantity=int(entry["quantity"]), unit_price_minor=PRICE_MINOR, currency=CURRENCY, status="reserved",
            reserved_at_ms=int(entry["reserved_at_ms"]), deadline_ms=int(entry["deadline_ms"]),
            version=int(entry["version"]),
        )  # fmt: skip
        status = "reserved" if kind in ("created", "extended") else kind
        fresh = self._insert(booking, entry["idempotency_key"], entry["fingerprint"], of_epoch, live, False, status)
        row = self.rows[booking.booking_id]
        what, cause = RECORDED_AS[kind]
        self._note(row.booking_id, of_epoch, booking.version, what, cause)
        if kind == "extended":
            counts = live or self.off == "extensions_read_the_epoch"
            later = row.deadline < booking.deadline_ms or self.off == "deadlines_move_forward"
            if counts and later and row.status == "reserved":
                row.deadline, row.version = booking.deadline_ms, max(row.version, booking.version)
            if live:
                record = (entry["verb_fingerprint"], row.booking_id, int(entry["at_ms"]), booking.deadline_ms)
                self._claim(row.user, "extend", entry["verb_key"], record)
        elif kind != "created" and (fresh or row.status == "reserved"):
            row.status, row.cause, row.version = kind, cause, max(row.version, booking.version)
            self._tell_booking(row)

    # --- Ledger ---

    def confirm_bookings(self, pins: Sequence[Pin]) -> list[Decision]:
        with self.transaction(*self.locks(pins, "counts")) as epoch:
            return [self.confirm(pin, epoch) for pin in pins]

    def confirm(self, pin: Pin, epoch: int) -> Decision:
        self.insert_pins([pin], epoch)
        row, zone = self.rows.get(pin.booking.booking_id), self.zones[pin.booking.zone_id]
        quantity, taken = pin.booking.quantity, self.users.setdefault(pin.booking.user_id, [0, 0])[0]
        stale = pin.epoch != epoch and self.off != "pin_epoch"
        reason = None
        if row and row.status == "confirmed":
            outcome = "CONFIRMED" if row.payment_id == pin.payment_id else "ALREADY_CONFIRMED"
        elif row is None or stale or pin.number <= row.void_pin:
            outcome = "SERVICE_UNAVAILABLE"
        elif row.status != "reserved":
            outcome, reason = "RESERVATION_NOT_FOUND", row.status
        elif zone["confirmed"] + quantity > zone["capacity"]:
            outcome = "INSUFFICIENT_SEATS"
        elif taken + quantity > LIMIT:
            outcome = "MAX_TICKETS_EXCEEDED"
        else:
            outcome = "CONFIRMED"
            row.payment_id = pin.payment_id
            self._count(row, quantity)
            self.end(row, "confirmed", "confirm", pin.epoch, pin.booking.version)
        booking = row.booking() if row else None
        return Decision(pin.booking.booking_id, outcome, booking, reason, self.facts(pin.booking))

    def facts(self, b: Booking) -> Learned:
        users = (self.user_facts(b.user_id),) if b.user_id in self.users else ()
        return Learned((self.zone_facts_of(b.zone_id),), users)

    def settle_bookings(self, pins: Sequence[Pin]) -> list[Decision]:
        with self.transaction(*self.locks(pins)) as epoch:
            return [self._settle(pin, epoch) for pin in pins]

    def _settle(self, pin: Pin, epoch: int) -> Decision:
        self.insert_pins([pin], epoch)
        row = self.rows.get(pin.booking.booking_id)
        if row is None or pin.epoch != epoch or (row.status == "reserved" and self.is_paying(row)):
            outcome = "UNDECIDED"
        elif row.status == "confirmed":
            outcome = "CONFIRMED"
        elif row.status == "reserved" and 1 <= pin.number <= row.void_pin:
            outcome = "VOIDED"
        else:
            outcome = "ENDED"
            if row.status == "reserved" and self.off != "settling_records_first":
                self.end(row, "expired", "unconfirmed", pin.epoch, pin.booking.version)
        booking = row.booking() if row else None
        if booking and outcome == "ENDED" and booking.status == "reserved":
            booking = replace(booking, status="expired")  # as if it were recorded
        return Decision(pin.booking.booking_id, outcome, booking, None, self.facts(pin.booking))

    def get_booking(self, booking_id: str) -> Booking | None:
        self.stage.pause()
        row = self.rows.get(booking_id)
        return row.booking() if row else None

    def cancel_booking(self, booking_id: str, user_id: str, reason: str | None) -> Decision:
        row = self.rows.get(booking_id)
        locks = [f"booking {booking_id}", f"user {user_id}", *([f"zone {row.zone}"] if row else [])]
        with self.transaction(*locks):
            row = self.rows.get(booking_id)
            if row is None or row.user != user_id or row.status not in ("confirmed", "cancelled"):
                return Decision(booking_id, "RESERVATION_NOT_FOUND", reason=row.status if row else None)
            if row.status == "confirmed":
                self._count(row, -row.quantity)
                self.end(row, "cancelled", "cancel", row.epoch)
                for attempt in self.attempts:
                    if attempt.booking_id == booking_id and attempt.state == "captured":
                        attempt.state = "refunding"
            return Decision(booking_id, "CANCELLED", row.booking(), None, self.facts(row.booking()))

    def open_zone(self, zone: Zone, ceiling: Ceiling | None = None) -> tuple[bool, Learned]:
        with self.transaction(f"zone {zone.zone_id}") as epoch:
            known = self.zones[zone.zone_id]
            stands = ceiling and ceiling.number > known["ceiling_done"] and ceiling.epoch == epoch
            cut = zone.capacity < known["capacity"] and not stands and self.off != "cuts_need_a_ceiling"
            if zone.capacity < known["confirmed"] or cut:
                raise refusal("CAPACITY_IN_USE")
            known["capacity"] = zone.capacity
            known["version"] += 1
            known["ceiling_done"] = max(known["ceiling_done"], ceiling.number if ceiling else 0)
            self._tell_zone(zone.zone_id)
            return False, Learned((self.zone_facts_of(zone.zone_id),))

    def void_ceiling(self, ceiling: Ceiling) -> Learned:
        with self.transaction(f"zone {ceiling.zone_id}") as epoch:
            if ceiling.epoch != epoch:
                return Learned()
            zone = self.zones[ceiling.zone_id]
            if zone["ceiling_done"] < ceiling.number:
                zone["ceiling_done"] = ceiling.number
                zone["version"] += 1
                self._tell_zone(ceiling.zone_id)
            return Learned((self.zone_facts_of(ceiling.zone_id),))

    def zone_facts(self, event_id: str, zone_id: str) -> Learned:
        self.stage.pause()
        return Learned((self.zone_facts_of(zone_id),))

    def stale_reservations(self, shard: int, limit: int) -> list[Pin]:
        self.stage.pause()
        late = [row for row in self.rows.values() if row.status == "reserved" and row.deadline < self.clock.ms - 60_000]
        late.sort(key=lambda row: row.deadline)
        return [
            Pin(booking=row.booking(), epoch=self.epoch, number=0, idempotency_key="", fingerprint="") for row in late
        ]

    def epochs(self) -> Mapping[int, int]:
        self.stage.pause()
        return {SHARD: self.epoch}
