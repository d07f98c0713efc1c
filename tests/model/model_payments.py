"""Postgres in the model, continued: the payments' functions, and the image of a shard."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from app.domain import idempotency
from app.domain.model import Chunk, Decision, Image, PaymentState, Pin
from app.domain.payments import Opened, Outcome, Payment
from tests.model.model_postgres import Attempt, ModelPostgres, Row
from tests.model.model_space import Hold
from tests.model.terms import CURRENCY, EVENT, HOLD_SECONDS_MAX, LIMIT, PRICE_MINOR


@dataclass
class ModelPayments:
    """Postgres as the port `PaymentLedger`, as far as schedules ask."""

    postgres: ModelPostgres

    def open_payment(self, pin: Pin, lease_ms: int) -> Opened:
        pg = self.postgres
        with pg.transaction(*pg.locks([pin])) as epoch:
            pg.insert_pins([pin], epoch)
            row = pg.rows.get(pin.booking.booking_id)
            attempt = pg.open_attempt(pin.booking.booking_id)
            stale = pin.epoch != epoch and pg.off != "pin_epoch"
            if row and row.status == "confirmed":
                outcome = "CONFIRMED" if row.payment_id == pin.payment_id else "ALREADY_CONFIRMED"
            elif row is None or stale:
                outcome = "SERVICE_UNAVAILABLE"
            elif row.status != "reserved":
                outcome = "RESERVATION_NOT_FOUND"
            elif pin.number <= row.void_pin:
                outcome = "VOIDED"
            elif attempt and attempt.payment_id != pin.payment_id:
                outcome = "CONFIRMATION_IN_PROGRESS"
            else:
                outcome = "OPEN"
                if attempt is None:
                    attempt = Attempt(len(pg.attempts) + 1, row.booking_id, pin.payment_id or "")
                    pg.attempts.append(attempt)
            reason = row.status if row and outcome == "RESERVATION_NOT_FOUND" else None
            decision = Decision(pin.booking.booking_id, outcome, row.booking() if row else None, reason)
            return Opened(decision, self._payment(attempt) if attempt else None)

    def capture_payment(self, payment: Payment, pin: Pin | None, reference: str | None) -> Decision:
        pg = self.postgres
        with pg.transaction(*self._locks(payment, counts=True)) as epoch:
            row, attempt = pg.rows[payment.booking_id], pg.attempts[payment.number - 1]
            outcome = ""
            if row.status == "confirmed":
                outcome = "CONFIRMED" if attempt.state == "captured" else "ALREADY_CONFIRMED"
            elif row.status != "reserved":
                outcome = "RESERVATION_NOT_FOUND"
            elif attempt.state in ("refunding", "refunded"):
                outcome = "PAYMENT_DECLINED"
            elif pin is None:
                outcome = "SERVICE_UNAVAILABLE"
            if outcome or pin is None:
                return Decision(row.booking_id, outcome, row.booking(), row.status, pg.facts(row.booking()))
            decision = pg.confirm(pin, epoch)
            if decision.outcome == "CONFIRMED":
                attempt.state = "captured"
            return decision

    def honour_payment(self, payment: Payment, pin: Pin, reference: str | None) -> Decision:
        pg = self.postgres
        with pg.transaction(*self._locks(payment), *pg.locks([pin], "counts")) as epoch:
            attempt, row = pg.attempts[payment.number - 1], pg.rows[payment.booking_id]
            if attempt.state not in ("intent", "pending", "voiding"):
                return Decision(pin.booking.booking_id, "PAYMENT_DECLINED")
            if row.status != "expired":
                return Decision(pin.booking.booking_id, "RESERVATION_NOT_FOUND")
            decision = pg.confirm(pin, epoch)
            if decision.outcome == "CONFIRMED":
                attempt.replaces, attempt.booking_id = attempt.booking_id, pin.booking.booking_id
                attempt.state = "captured"
            return decision

    def void_pin(
        self, payment: Payment, pin: Pin | None, state: PaymentState, detail: str | None, reference: str | None
    ) -> str:
        pg = self.postgres
        with pg.transaction(*self._locks(payment)) as epoch:
            row, attempt = pg.rows[payment.booking_id], pg.attempts[payment.number - 1]
            closed = attempt.state not in ("intent", "pending", "voiding") or attempt.state == state
            another = any(a for a in pg.attempts if a is not attempt and a.booking_id == row.booking_id and a.is_open)
            outcome = "CLOSED"
            if row.status == "reserved" and (pin or not (closed or attempt.state == "voiding")) and not another:
                if pin is None or pin.epoch != epoch:
                    return "CLOSED" if closed else "SERVICE_UNAVAILABLE"
                if pg.off != "declining_voids_the_pin":
                    row.void_pin = max(row.void_pin, pin.number)
                outcome = "VOIDED"
            if not closed:
                attempt.state = state
            return outcome

    def put_off_payment(self, payment: Payment, delay_ms: int, detail: str | None, reference: str | None) -> None:
        attempt = self.postgres.attempts[payment.number - 1]
        with self.postgres.transaction(f"payment {payment.number}", shard=False):
            if attempt.state == "intent":
                attempt.state = "pending"

    def close_refund(self, payment: Payment, outcome: Outcome) -> None:
        attempt = self.postgres.attempts[payment.number - 1]
        with self.postgres.transaction(f"payment {payment.number}", shard=False):
            if attempt.state == "refunding":
                state: Any = outcome.state
                attempt.state = state

    def list_payments(self, states: Sequence[PaymentState] | None, number: int | None, limit: int) -> list[Payment]:
        self.postgres.stage.pause()
        found = [a for a in self.postgres.attempts if states is None or a.state in states]
        return [self._payment(attempt) for attempt in reversed(found)][:limit]

    def pin_without_redis(self, payment: Payment) -> Pin:
        """For the control that does not ask Redis."""
        booking, epoch = self.postgres.rows[payment.booking_id].booking(), self.postgres.epoch
        return Pin(
            booking=booking,
            epoch=epoch,
            number=10**6,
            idempotency_key="",
            fingerprint="",
            payment_id=payment.payment_id,
        )

    def _locks(self, payment: Payment, counts: bool = False) -> list[str]:
        counted = [f"user {payment.user_id}", f"zone {payment.zone_id}"] if counts else []
        return [f"booking {payment.booking_id}", f"payment {payment.number}", *counted]

    def _payment(self, attempt: Attempt) -> Payment:
        row = self.postgres.rows[attempt.booking_id]
        return Payment(
            number=attempt.number, attempt_id=f"attempt-{attempt.number}", booking_id=row.booking_id, event_id=EVENT,
            zone_id=row.zone, user_id=row.user, quantity=row.quantity, payment_id=attempt.payment_id,
            amount_minor=row.quantity * PRICE_MINOR, currency=CURRENCY, state=attempt.state,
            reference=attempt.reference, tries=0, detail=None, age_ms=0,
        )  # fmt: skip


@dataclass
class ModelRebuilding:
    """Postgres as the port `RebuildableLedger`."""

    postgres: ModelPostgres

    @contextmanager
    def rebuild_lock(self, shard: int) -> Iterator[bool]:
        pg = self.postgres
        pg.stage.pause()
        mine = not pg.rebuilder or pg.off == "one_rebuilds"
        pg.rebuilder = pg.rebuilder or mine
        try:
            yield mine
        finally:
            if mine:
                pg.rebuilder = False

    def keep_lock(self, shard: int) -> None:
        """Nobody hangs here for so long."""

    def shard_image(self, shard: int, purge: Sequence[str] = (), past: int = 0) -> Image:
        pg = self.postgres
        pg.stage.pause()
        waits = pg.off != "the_image_waits"
        while (waits and (pg.shared or pg.exclusive)) or "seq" in pg.locked:
            pg.stage.pause()
        pg.exclusive = waits
        try:
            pg.stage.pause()
            pg.epoch = max(pg.epoch, past) + 1
            ended = self._end_what_does_not_fit()
            pg.tell(None, {}, f"shard/{shard}:{pg.epoch}", "shard.rebuilt", str(shard))
            return Image(pg.epoch, ended, 0, self._chunks())
        finally:
            pg.exclusive = False

    def _end_what_does_not_fit(self) -> int:
        pg = self.postgres
        seats = {name: zone["confirmed"] for name, zone in pg.zones.items()}
        taken: dict[str, int] = {user: confirmed for user, (confirmed, _) in pg.users.items()}
        ended = 0
        live = [row for row in pg.rows.values() if row.status == "reserved"]
        for row in sorted(live, key=self._order):
            counted = 1 if pg.off == "the_image_counts_seats" else row.quantity
            user = f"{row.user} in {row.zone}" if pg.off == "the_image_spans_zones" else row.user
            fits = seats[row.zone] + counted <= pg.zones[row.zone]["capacity"] or pg.off == "the_image_fits_the_zone"
            before = taken.get(user, taken.get(row.user, 0))
            within = before + counted <= LIMIT or pg.off == "the_image_fits_the_limit"
            if fits and within:
                seats[row.zone] += counted
                taken[user] = before + counted
            else:
                pg.end(row, "expired", "rebuild", pg.epoch)
                ended += 1
        return ended

    def _order(self, row: Row) -> tuple[bool, bool, int, str]:
        pg = self.postgres
        paying = pg.open_attempt(row.booking_id) is not None and pg.off != "payments_keep_their_pin"
        return not paying, row.deadline <= pg.clock.ms, row.reserved_at, row.booking_id

    def _chunks(self) -> Iterator[Chunk]:
        pg = self.postgres
        image: dict[str, list[Any]] = {
            "zone": [pg.zone_facts_of(name) for name in pg.zones],
            "user": [pg.user_facts(user) for user in pg.users],
            "reservation": [self._hold(row) for row in pg.rows.values() if row.status == "reserved"],
            "key": [
                (idempotency.digest(EVENT, user, verb, key).hex(), record)
                for (user, verb, key), record in pg.keys.items()
                if pg.off != "the_image_has_the_keys"
                and not self._comes_with_its_reservation(verb, record[1])
                and (pg.clock.ms - record[2] < idempotency.KEPT_MS or pg.off == "keys_end")
            ],
        }
        return iter([Chunk(kind, rows) for kind, rows in image.items() if rows])

    def _comes_with_its_reservation(self, verb: str, booking_id: str) -> bool:
        return verb == "reserve" and self.postgres.rows[booking_id].status == "reserved"

    def _hold(self, row: Row) -> Hold:
        pg = self.postgres
        attempt = pg.open_attempt(row.booking_id) if pg.off != "payments_keep_their_pin" else None
        claim = pg.keys.get((row.user, "reserve", row.key))
        return Hold(
            row.booking_id, EVENT, row.zone, row.user, row.quantity, row.reserved_at,
            pg.deadline_in_the_image(row), row.reserved_at + HOLD_SECONDS_MAX * 1000, row.key,
            claim[0] if claim and claim[1] == row.booking_id else "", row.reserved_at, row.version,
            state="pinned" if attempt else "reserved", pin=row.void_pin + (1 if attempt else 0),
            pinned_at=pg.clock.ms if attempt else 0, payment=attempt.payment_id if attempt else "",
        )  # fmt: skip
