"""Redis as the port `Reservations`: each method is one script, one round trip. The translator of every Lua reply."""

import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from app.domain import idempotency, ids, money, times
from app.domain.errors import Refusal, refusal
from app.domain.model import (
    Booking,
    Ceiling,
    Extended,
    Held,
    Learned,
    LiveZone,
    Order,
    Pin,
    Registered,
    Seats,
    Seen,
    ShardBacklog,
    Status,
    Swept,
)
from app.domain.ports import Entry
from app.stores import keys, replies
from app.stores.epochs import Epochs
from app.stores.lua import Redis, ScriptFailed

_ZONES_PER_AUDIT: Final = 500
"""Named in one call of the script; it looks at as many of them as its own budget admits."""


_BUCKETS_PER_PAGE: Final = 60
"""Of some thirty reservations each."""
_FRESH_S: Final = 600
"""So long after a rebuild nobody is believed to have edited a shard again in the way that he did before."""
log = logging.getLogger(__name__)


class RedisReservations:
    """`now` is for tests alone: None leaves the time to Redis' own clock, else it answers Unix milliseconds."""

    def __init__(
        self,
        redis: Redis,
        epochs: Epochs,
        shards: int,
        outbox_max: int,
        new_booking_id: Callable[[int], str] = ids.new_booking_id,
        now: Callable[[], int] | None = None,
        on_closed: Callable[[int], None] = lambda shard: None,
        on_script_failed: Callable[[str], None] = lambda script: None,
    ) -> None:
        self._redis = redis
        self._epochs = epochs
        self._shards = shards
        self._outbox_max = outbox_max
        self._new_booking_id = new_booking_id
        self._now = now
        self._on_closed = on_closed
        self._on_script_failed = on_script_failed
        self._failed: dict[tuple[int, str], tuple[int, float]] = {}
        """By shard and script: at which epoch, and when, by `time.monotonic`."""

    def reserve(self, user_id: str, order: Order) -> Held:
        shard = ids.shard_of_event(order.event_id, self._shards)
        key = order.idempotency_key or ""
        booking_id = self._new_booking_id(shard)
        seen_price = "" if order.seen_price is None else order.seen_price
        reply = self._run(
            "reserve",
            shard,
            *(_bytes(booking_id), order.event_id, order.zone_id, user_id, order.quantity, seen_price),
            *(_digest(order.event_id, user_id, "reserve", key), key),
            *(idempotency.fingerprint(order) if key else b"", idempotency.KEPT_MS, self._outbox_max),
        )
        match reply:
            case ["OK" | "REPLAYED" as status, price, currency, reserved_at, deadline, now, *first]:
                booking = Booking(
                    booking_id=first[0] if first else booking_id,
                    event_id=order.event_id,
                    zone_id=order.zone_id,
                    user_id=user_id,
                    quantity=order.quantity,
                    unit_price_minor=price,
                    currency=currency,
                    status="reserved",
                    reserved_at_ms=reserved_at,
                    deadline_ms=deadline,
                )
                return Held(booking, status == "REPLAYED", max(0, deadline - now))
        raise self._refusal(shard, reply)

    def confirm(self, booking_id: str, user_id: str, payment_id: str | None) -> Pin:
        shard = self._shard_of(booking_id)
        epoch = self._epochs.of(shard)
        match reply := self._run("confirm", shard, booking_id, user_id, payment_id or "", epoch=epoch):
            case ["OK", facts]:
                return replies.pin(facts, epoch)
        raise self._refusal(shard, reply)

    def unpin(self, booking_id: str, number: int) -> None:
        """Takes back the pin of this number, which Postgres has recorded as void."""
        shard = self._shard_of(booking_id)
        match reply := self._run("unpin", shard, booking_id, number):
            case ["OK", _]:
                return
        raise self._refusal(shard, reply)

    def release(self, booking_id: str, user_id: str) -> Booking:
        shard = self._shard_of(booking_id)
        match reply := self._run("release", shard, booking_id, user_id):
            case ["OK", facts]:
                return replies.booking(facts)
        raise self._refusal(shard, reply)

    def extend(self, booking_id: str, user_id: str, key: str | None, event_id: str) -> Extended:
        shard = self._shard_of(booking_id)
        digest = _digest(event_id, user_id, "extend", key or "")
        reply = self._run("extend", shard, booking_id, user_id, digest, key or "", booking_id, idempotency.KEPT_MS)
        match reply:
            case ["OK" | "REPLAYED" as status, facts, now]:
                booking = replies.booking(facts)
                return Extended(booking, status == "REPLAYED", max(0, booking.deadline_ms - now))
        raise self._refusal(shard, reply)

    def get(self, booking_id: str, user_id: str) -> Seen:
        shard = self._shard_of(booking_id)
        match reply := self._run("get", shard, booking_id, user_id):
            case ["OK", facts, now]:
                return replies.seen(facts, now)
        raise self._refusal(shard, reply)

    def look(self, booking_id: str) -> Seen:
        """For an operator: whose it is, is not asked."""
        shard = self._shard_of(booking_id)
        match reply := self._run("look", shard, booking_id):
            case ["OK", facts, now]:
                return replies.seen(facts, now)
        raise self._refusal(shard, reply)

    def settle(self, shard: int, confirmed: Sequence[str], ended: Mapping[str, Status], learned: Learned) -> None:
        decided = {"confirmed": confirmed, "ended": ended, "zones": learned.zones, "users": learned.users}
        match reply := self._run("settle", shard, json.dumps(decided)):
            case ["OK", _]:
                return
        raise self._refusal(shard, reply)

    def learn(self, shard: int, learned: Learned) -> None:
        match reply := self._run("learn", shard, json.dumps({"zones": learned.zones, "users": learned.users})):
            case ["OK"]:
                return
        raise self._refusal(shard, reply)

    def expire(self, shard: int, limit: int, pin_limit_ms: int) -> Swept:
        epoch = self._epochs.of(shard)
        match reply := self._run("expire", shard, limit, pin_limit_ms, epoch=epoch):
            case ["OK", expired, more, pins, ceilings]:
                overdue = tuple(replies.pin(facts, epoch) for facts in pins)
                return Swept(
                    expired, bool(more), overdue, tuple(replies.ceiling(name, epoch, n) for name, n in ceilings)
                )
        raise self._refusal(shard, reply)

    def availability(self, event_id: str, zone_ids: Sequence[str]) -> Mapping[str, Seats]:
        shard = ids.shard_of_event(event_id, self._shards)
        match reply := self._run("availability", shard, event_id, *zone_ids):
            case ["OK", zones]:
                return {zone_id: Seats(*seats) for zone_id, seats in zip(zone_ids, zones, strict=True) if seats}
        raise self._refusal(shard, reply)

    def audit(self, shard: int, registered: Registered, after: int) -> tuple[int, str, Mapping[str, int]]:
        zones = json.dumps(registered.zones[after : after + _ZONES_PER_AUDIT])
        match reply := self._run("audit", shard, registered.highest_seq, zones, epoch=registered.epoch):
            case ["OK", done, wrong, ahead]:
                return after + done, wrong, replies.pairs(ahead)
        raise self._refusal(shard, reply)

    def backlog(self, shard: int) -> ShardBacklog:
        match reply := self._run("backlog", shard):
            case ["OK", *figures]:
                return ShardBacklog(*figures)
        raise self._refusal(shard, reply)

    def live(self, event_id: str, zone_id: str) -> LiveZone | None:
        shard = ids.shard_of_event(event_id, self._shards)
        epoch = self._epochs.of(shard)
        quantities: dict[str, int] = {}
        figures: list[int] | None = None
        start = 0
        while True:
            reply = self._run("reconcile", shard, event_id, zone_id, start, _BUCKETS_PER_PAGE, epoch=epoch)
            match reply:
                case ["OK", told, more, live, pinned]:
                    page = {**replies.pairs(live), **replies.pairs(pinned)}
                case _:
                    raise self._refusal(shard, reply)
            whole = figures is None and not more
            figures = figures if figures is not None else told
            quantities |= page
            start += _BUCKETS_PER_PAGE
            if not more:
                if not figures:
                    return None
                capacity, confirmed, held, version = figures
                return LiveZone(epoch, capacity, confirmed, held, version, quantities, whole)

    def entry(self, booking_id: str) -> Entry | None:
        shard = self._shard_of(booking_id)
        epoch = self._epochs.of(shard)
        match reply := self._run("look", shard, booking_id, epoch=epoch):
            case ["OK", facts, _]:
                return replies.entry(facts, epoch)
            case ["RESERVATION_NOT_FOUND", _]:
                return None
        raise self._refusal(shard, reply)

    def missing(self, shard: int, epoch: int, booking_ids: Sequence[str]) -> set[str]:
        match reply := self._run("missing", shard, json.dumps(list(booking_ids)), epoch=epoch):
            case ["OK", missing]:
                return set(missing)
        raise self._refusal(shard, reply)

    def ceiling(self, event_id: str, zone_id: str, capacity: int) -> Ceiling:
        shard = ids.shard_of_event(event_id, self._shards)
        epoch = self._epochs.of(shard)
        match reply := self._run("ceiling", shard, event_id, zone_id, capacity, epoch=epoch):
            case ["OK", number]:
                return Ceiling(event_id, zone_id, epoch, number)
        raise self._refusal(shard, reply)

    def mine(self, user_id: str, event_ids: Sequence[str], booking_ids: Sequence[str]) -> Sequence[Seen]:
        asked: defaultdict[int, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for event_id in event_ids:
            asked[ids.shard_of_event(event_id, self._shards)][0].append(event_id)
        for booking_id in booking_ids:
            asked[self._shard_of(booking_id)][1].append(booking_id)
        found: list[Seen] = []
        for shard, (events, bookings) in asked.items():
            match reply := self._run("mine", shard, user_id, json.dumps({"events": events, "bookings": bookings})):
                case ["OK", reservations, now]:
                    found += [replies.seen(facts, now) for facts in reservations]
                case _:
                    raise self._refusal(shard, reply)
        return found

    def _shard_of(self, booking_id: str) -> int:
        shard = ids.shard_of_booking(booking_id, self._shards)
        if shard is None:
            raise refusal("RESERVATION_NOT_FOUND", reason="unknown")
        return shard

    def _run(self, name: str, shard: int, *arguments: str | int | bytes, epoch: int | None = None) -> list[Any]:
        epoch = epoch or self._epochs.of(shard)
        now = self._now() if self._now else ""
        key = keys.epoch(shard)
        try:
            return self._redis.run(name, key, lambda run_id: (keys.head(epoch, run_id), now, *arguments))
        except ScriptFailed:
            log.exception("shard %d: a script has failed at epoch %d", shard, epoch)
            self._on_script_failed(name)
            if self._failed_on_fresh_data(name, shard, epoch):
                raise
            self._redis.run("close", key, lambda run_id: (keys.head(epoch, run_id), now, f"{name} has failed"))
            return ["SERVICE_UNAVAILABLE", "closed"]

    def _failed_on_fresh_data(self, name: str, shard: int, epoch: int) -> bool:
        """Our scripts read whatever they have written. If one cannot, somebody has edited it: that is amnesia, and a
        rebuild mends it (rule 3.7). If it fails once more after that, it is the script that is wrong: then a rebuild
        mends nothing, and is not asked for again."""
        before = self._failed.get((shard, name))
        if before and before[0] < epoch and time.monotonic() - before[1] < _FRESH_S:
            return True
        if not before or before[0] != epoch:
            self._failed[shard, name] = epoch, time.monotonic()
        return False

    def _refusal(self, shard: int, reply: list[Any]) -> Refusal:
        """Turns a reply that is not a success into its refusal. An unknown reply is a bug: it raises `KeyError`."""
        match reply:
            case ["SERVICE_UNAVAILABLE", why]:
                if why == "closed":
                    self._on_closed(shard)
                return refusal("SERVICE_UNAVAILABLE", _WHY[why])
            case ["INSUFFICIENT_SEATS", available]:
                return refusal("INSUFFICIENT_SEATS", available=available)
            case ["MAX_TICKETS_EXCEEDED", limit, taken]:
                return refusal("MAX_TICKETS_EXCEEDED", limit=limit, taken=taken)
            case ["PRICE_CHANGED", price, currency]:
                return refusal("PRICE_CHANGED", current_price=money.to_text(price, currency), currency=currency)
            case ["SALE_CLOSED", opens, closes]:
                window = {"opens_at": opens, "closes_at": closes}
                return refusal("SALE_CLOSED", **{name: times.to_text(at) for name, at in window.items() if at})
            case ["VALIDATION_ERROR", most]:
                return refusal("VALIDATION_ERROR", errors={"quantity": [f"Must be at most {most} for this event."]})
            case ["CAPACITY_IN_USE", in_use]:
                return refusal("CAPACITY_IN_USE", **({"in_use": in_use} if in_use else {}))
            case ["HOLD_LIMIT_REACHED", deadline]:
                return refusal("HOLD_LIMIT_REACHED", expires_at=times.to_text(deadline))
            case ["RESERVATION_NOT_FOUND", reason]:
                return refusal("RESERVATION_NOT_FOUND", reason=reason)
            case [code]:
                return refusal(code)
        raise KeyError(f"the scripts do not answer {reply!r}")


def _bytes(booking_id: str) -> bytes:
    """As Redis keeps it."""
    return bytes.fromhex(booking_id.replace("-", ""))


def _digest(event_id: str, user_id: str, verb: str, key: str) -> bytes:
    """As Redis keeps it: among the keys of one user for one event, eight bytes tell one from another."""
    return idempotency.digest(event_id, user_id, verb, key)[:8] if key else b""


_WHY = {
    "closed": "These seats are closed for a moment while the system makes sure of its numbers",
    "outbox_full": "Too much is waiting to be recorded",
}
