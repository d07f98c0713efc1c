"""What Redis is in the model: scripts are atomic, it may come back empty or older, and its facts are Postgres'.

This is the specification of `lua/`, in words of Python, without indexes and counters: what is held is the sum of the
reservations. No test may use it in the place of a server; it is compared with one (test_real_seam.py)."""

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.domain import idempotency
from app.domain.errors import refusal
from app.domain.model import Booking, Ceiling, Chunk, Extended, Held, Learned, Order, Pin, Seen, Status, Swept
from app.domain.ports import Entry
from tests.model.model_space import Hold, Server, Space, Zone
from tests.model.stage import Stage
from tests.model.terms import SHARD, Clock


class ModelRedis:
    """Redis as the ports `Reservations` and `RebuildableReservations`, and as the outbox that the relay reads."""

    def __init__(self, stage: Stage, clock: Clock, epochs: Any, mint: Any, off: str | None) -> None:
        self.stage, self.clock, self.epochs, self.mint, self.off = stage, clock, epochs, mint, off
        self.server = Server()

    # --- the parts of scripts ---

    def _open(self, epoch: int | None = None) -> tuple[int, Space]:
        epoch = epoch or self.epochs.of(SHARD)
        self.stage.pause()
        if not self.server.is_open(epoch):
            raise refusal("SERVICE_UNAVAILABLE", "closed")
        return epoch, self.server.spaces[epoch]

    def _tell(self, kind: str, hold: Hold, epoch: int, **more: Any) -> None:
        number = self.server.seq[epoch] = self.server.seq.get(epoch, 0) + 1
        self.server.outbox.append(
            {
                "seq": f"{epoch}-{number}", "kind": kind, "booking_id": hold.booking_id, "event_id": hold.event,
                "zone_id": hold.zone, "user_id": hold.user, "quantity": hold.quantity, "version": hold.version,
                "reserved_at_ms": hold.reserved_at, "deadline_ms": hold.deadline, "at_ms": hold.at,
                "idempotency_key": hold.key, "fingerprint": hold.fingerprint, **more,
            }
        )  # fmt: skip

    def _finish(self, hold: Hold, state: str, epoch: int) -> None:
        hold.state, hold.version, hold.at = state, hold.version + 1, self.clock.ms
        self._tell(state, hold, epoch)

    def _reclaim(self, space: Space, epoch: int, zone: str | None = None, user: str | None = None) -> int:
        due = [
            hold
            for hold in space.live()
            if hold.deadline <= self.clock.ms and zone in (None, hold.zone) and user in (None, hold.user)
            if hold.state == "reserved" or (self.off == "pins_end_by_time" and zone is user is None)
        ]
        for hold in sorted(due, key=lambda hold: (hold.deadline, hold.booking_id)):
            self._finish(hold, "expired", epoch)
        return len(due)

    def _remembered(self, space: Space, digest: str) -> tuple[str, str, int, int] | None:
        record = space.keys.get(digest)
        kept = record and (self.clock.ms - record[2] < idempotency.KEPT_MS or self.off == "keys_end")
        return record if kept else None

    def _standing(self, space: Space, booking_id: str, user: str) -> Hold:
        hold = space.reservations.get(booking_id)
        if hold is None or hold.user != user:
            raise refusal("RESERVATION_NOT_FOUND", reason="unknown")
        if hold.state == "pinned":
            raise refusal("CONFIRMATION_IN_PROGRESS")
        if hold.state != "reserved":
            raise refusal("RESERVATION_NOT_FOUND", reason=hold.state)
        if hold.deadline <= self.clock.ms:
            raise refusal("RESERVATION_NOT_FOUND", reason="expired")
        return hold

    def _learn(self, space: Space, learned: Learned) -> None:
        for fact in learned.zones:
            known = space.zones.setdefault(str(fact["zone_id"]), Zone({"version": 0}))
            if known.facts["version"] < fact["version"] or (
                self.off == "facts_have_versions" and known.facts["version"]
            ):
                known.facts = dict(fact)
                if known.ceiling and known.ceiling[0] <= int(str(fact["ceiling_done"])):
                    known.ceiling = None
        for fact in learned.users:
            user = str(fact["user_id"])
            if user not in space.users or space.users[user]["version"] < fact["version"]:
                space.users[user] = dict(fact)

    # --- Reservations ---

    def reserve(self, user_id: str, order: Order) -> Held:
        booking_id = self.mint(SHARD)
        epoch, space = self._open()
        key, fingerprint = order.idempotency_key or "", idempotency.fingerprint(order).hex()
        digest = idempotency.digest(order.event_id, user_id, "reserve", key).hex()
        if key and (known := self._remembered(space, digest)):
            if known[0] != fingerprint:
                raise refusal("IDEMPOTENCY_KEY_REUSED")
            first = Hold(
                known[1], order.event_id, order.zone_id, user_id, order.quantity, known[2], known[3], 0, key, "", 0
            )
            return Held(first.booking(), True, 0)
        zone = space.zones.get(order.zone_id)
        if zone is None:
            raise refusal("ZONE_NOT_FOUND")
        facts = zone.facts
        if space.available(order.zone_id) < order.quantity:
            self._reclaim(space, epoch, zone=order.zone_id)
        if space.available(order.zone_id) < order.quantity:
            raise refusal("INSUFFICIENT_SEATS")
        counted = order.zone_id if self.off == "the_limit_spans_zones" else None
        if space.taken(user_id, counted) + order.quantity > facts["per_user"]:
            self._reclaim(space, epoch, user=user_id)
        if space.taken(user_id, counted) + order.quantity > facts["per_user"]:
            raise refusal("MAX_TICKETS_EXCEEDED")
        now = self.clock.ms
        hold = Hold(
            booking_id, order.event_id, order.zone_id, user_id, order.quantity, now, now + facts["hold_ms"],
            now + facts["hold_max_ms"], key, fingerprint if key else "", now,
        )  # fmt: skip
        space.reservations[booking_id] = hold
        if key:
            space.keys[digest] = fingerprint, booking_id, now, hold.deadline
        self._tell("created", hold, epoch)
        return Held(hold.booking(), False, facts["hold_ms"])

    def confirm(self, booking_id: str, user_id: str, payment_id: str | None) -> Pin:
        epoch, space = self._open()
        hold = space.reservations.get(booking_id)
        if not (hold and hold.user == user_id and hold.state == "pinned" and hold.payment == (payment_id or "")):
            hold = self._standing(space, booking_id, user_id)
            hold.state, hold.payment, hold.pin, hold.pinned_at = "pinned", payment_id or "", hold.pin + 1, self.clock.ms
        return hold.as_pin(epoch)

    def unpin(self, booking_id: str, number: int) -> None:
        epoch, space = self._open()
        hold = space.reservations.get(booking_id)
        if hold is None or hold.state != "pinned" or hold.pin != number:
            return
        if hold.deadline <= self.clock.ms:
            self._finish(hold, "expired", epoch)
        else:
            hold.state = "reserved"

    def release(self, booking_id: str, user_id: str) -> Booking:
        epoch, space = self._open()
        hold = self._standing(space, booking_id, user_id)
        self._finish(hold, "released", epoch)
        return hold.booking()

    def extend(self, booking_id: str, user_id: str, key: str | None, event_id: str) -> Extended:
        epoch, space = self._open()
        digest = idempotency.digest(event_id, user_id, "extend", key or "").hex()
        fingerprint = booking_id
        if key and (known := self._remembered(space, digest)):
            hold = space.reservations.get(booking_id)
            if hold and hold.user == user_id:
                if known[0] != fingerprint:
                    raise refusal("IDEMPOTENCY_KEY_REUSED")
                return Extended(replace(hold.booking(), deadline_ms=known[3]), True, 0)
        hold = self._standing(space, booking_id, user_id)
        deadline = min(hold.deadline + space.zones[hold.zone].facts["hold_ms"], hold.hold_until)
        if deadline <= hold.deadline:
            raise refusal("HOLD_LIMIT_REACHED")
        hold.deadline, hold.version, hold.at = deadline, hold.version + 1, self.clock.ms
        if key:
            space.keys[digest] = fingerprint, booking_id, self.clock.ms, deadline
        self._tell("extended", hold, epoch, verb_key=key or "", verb_fingerprint=fingerprint)
        return Extended(hold.booking(), False, 0)

    def get(self, booking_id: str, user_id: str) -> Seen:
        _, space = self._open()
        hold = space.reservations.get(booking_id)
        if hold is None or hold.user != user_id:
            raise refusal("RESERVATION_NOT_FOUND", reason="unknown")
        return Seen(hold.booking(), hold.state == "pinned", 0, hold.at, hold.pin)

    def settle(self, shard: int, confirmed: Sequence[str], ended: Mapping[str, Status], learned: Learned) -> None:
        _, space = self._open()
        for booking_id, state in {**dict.fromkeys(confirmed, "confirmed"), **ended}.items():
            hold = space.reservations.get(booking_id)
            if hold and hold.is_live:
                hold.state, hold.at = state, self.clock.ms
                if state == "confirmed":
                    del space.reservations[booking_id]
        if self.off != "settle_learns_nothing":
            self._learn(space, learned)

    def learn(self, shard: int, learned: Learned) -> None:
        _, space = self._open()
        self._learn(space, learned)

    def expire(self, shard: int, limit: int, pin_limit_ms: int) -> Swept:
        epoch, space = self._open()
        expired = self._reclaim(space, epoch)
        since = self.clock.ms - pin_limit_ms
        pins = [h for h in space.live() if h.state == "pinned" and h.pinned_at <= since]
        pins.sort(key=lambda hold: (hold.pinned_at, hold.booking_id))
        if self.off == "ceilings_are_voided_first":
            for zone in space.zones.values():
                if zone.ceiling and zone.ceiling[2] <= since:
                    zone.ceiling = None
        ceilings = [
            Ceiling(zone.facts["event_id"], name, epoch, zone.ceiling[0])
            for name, zone in sorted(space.zones.items())
            if zone.ceiling and zone.ceiling[2] <= since
        ]
        return Swept(expired, False, tuple(hold.as_pin(epoch) for hold in pins), tuple(ceilings))

    def missing(self, shard: int, epoch: int, booking_ids: Sequence[str]) -> set[str]:
        _, space = self._open(epoch)
        return {booking_id for booking_id in booking_ids if booking_id not in space.reservations}

    def ceiling(self, event_id: str, zone_id: str, capacity: int) -> Ceiling:
        epoch, space = self._open()
        self._reclaim(space, epoch, zone=zone_id)
        zone = space.zones.get(zone_id)
        if zone is None:
            raise refusal("ZONE_NOT_FOUND")
        if zone.ceiling and self.off != "one_ceiling":
            raise refusal("CAPACITY_IN_USE")
        if zone.facts["confirmed"] + space.held(zone_id) > capacity:
            raise refusal("CAPACITY_IN_USE")
        number = zone.facts["ceiling_done"] + 1
        zone.ceiling = number, capacity, self.clock.ms
        return Ceiling(event_id, zone_id, epoch, number)

    # --- RebuildableReservations ---

    def is_open(self, shard: int, epoch: int) -> bool:
        for _ in range(2):  # asked once more over a new connection
            self.stage.pause()
            if self.server.is_open(epoch):
                return True
        return False

    def freeze(self, shard: int, token: str) -> str:
        self.stage.pause()
        self.server.frozen = token
        return self.server.run_id

    def survivors(self, shard: int) -> Iterator[Sequence[Entry]]:
        return self.batches(shard, 500)

    def highest_epoch(self, shard: int) -> int:
        return max(self.server.spaces, default=0)

    def install(self, shard: int, token: str, run_id: str, epoch: int, chunk: Chunk) -> None:
        self._is_mine(token, run_id)
        space = self.server.spaces.setdefault(epoch, Space())
        rows: Sequence[Any] = chunk.rows
        match chunk.kind:
            case "zone":
                self._learn(space, Learned(zones=tuple(rows)))
            case "user":
                self._learn(space, Learned(users=tuple(rows)))
            case "reservation":
                space.reservations |= {row.booking_id: row for row in rows}
                for row in rows:
                    if row.key and row.fingerprint:
                        digest = idempotency.digest(row.event, row.user, "reserve", row.key).hex()
                        space.keys[digest] = row.fingerprint, row.booking_id, row.reserved_at, row.deadline
            case "key":
                space.keys |= dict(rows)

    def flip(self, shard: int, token: str, run_id: str, epoch: int) -> None:
        self._is_mine(token, run_id)
        self.server.spaces.setdefault(epoch, Space())
        self.server.installed, self.server.frozen = (epoch, run_id), None

    def _is_mine(self, token: str, run_id: str) -> None:
        self.stage.pause()
        mine = self.server.frozen == token or self.off in ("a_freeze_has_an_owner", "one_rebuilds")
        if self.server.run_id != run_id or not mine:
            raise refusal("SERVICE_UNAVAILABLE", "Another rebuild has taken over")

    # --- the outbox ---

    def read(self, shard: int, limit: int, after: str = "0-0") -> list[dict[str, Any]]:
        self.stage.pause()
        return [dict(e) for e in self.server.outbox if _number(e["seq"]) > _number(after)][:limit]

    def batches(self, shard: int, limit: int) -> Iterator[list[dict[str, Any]]]:
        after = "0-0"
        while batch := self.read(shard, limit, after):
            yield batch
            after = batch[-1]["seq"]

    def acknowledge(self, last_seqs: Mapping[int, str]) -> None:
        self.stage.pause()
        last_seq = last_seqs[SHARD]
        self.server.outbox = [e for e in self.server.outbox if _number(e["seq"]) > _number(last_seq)]

    # --- amnesia ---

    def forget(self, older: bytes | None, same_process: bool) -> None:
        """All of it, or back to an older image; FLUSHALL leaves the process as it was."""
        run_id = self.server.run_id if same_process else str(int(self.server.run_id) + 1)
        self.server = pickle.loads(older) if older else Server()
        self.server.run_id = run_id
        if self.off == "run_id_is_asked" and self.server.installed[0]:
            self.server.installed = (self.server.installed[0], run_id)


def _number(seq: str) -> tuple[int, int]:
    epoch, _, number = seq.partition("-")
    return int(epoch), int(number)
