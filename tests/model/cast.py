"""Who plays in a schedule, and what each of them does: the services of the product, called as the web process, the
worker and the operator call them. A seed decides how many there are and what they want."""

import itertools
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from app.domain.errors import Refusal
from app.domain.model import Booking, Order, Zone
from app.domain.payments import Outcome, Payment
from app.services.audit import Audit
from app.services.cancel import Cancel
from app.services.confirm import Confirm, Decide
from app.services.expire import Expire
from app.services.extend import Extend
from app.services.open_zone import OpenZone
from app.services.pay import Pay
from app.services.rebuild import Rebuild
from app.services.release import Release
from app.services.reserve import Reserve
from tests.model.judge import Judge
from tests.model.log import Log, Record
from tests.model.stage import Stage
from tests.model.terms import CAPACITIES, CURRENCY, EVENT, PIN_LIMIT_MS, PRICE_MINOR, SHARD, SHARDS, short

LEFT = ("intent", "pending", "voiding", "refunding")
"""Payments that are not over."""


@contextmanager
def let_go() -> Iterator[None]:
    """What a loop of the worker does with a closed shard: it comes round again."""
    try:
        yield
    except Refusal as refused:
        if code_of(refused) != "SERVICE_UNAVAILABLE":
            raise


def code_of(refused: Refusal) -> str:
    return refused.kind.code


@dataclass
class Till:
    """The provider, canned: whether there is money is decided when it is first asked for; it does not always tell."""

    rng: Random
    talks: bool = False
    states: dict[int, str] = field(default_factory=dict)

    def capture(self, payment: Payment) -> Outcome:
        if payment.number not in self.states:
            self.states[payment.number] = self.rng.choice(("captured", "captured", "declined"))
        return self._tell(payment)

    def status(self, payment: Payment) -> Outcome:
        return self._tell(payment) if payment.number in self.states else Outcome("unknown")

    def void(self, payment: Payment) -> Outcome:
        self.states.setdefault(payment.number, "voided")
        return self._tell(payment)

    def refund(self, payment: Payment) -> Outcome:
        if self.states[payment.number] == "captured":
            self.states[payment.number] = "refunded"
        return self._tell(payment)

    def _tell(self, payment: Payment) -> Outcome:
        state: Any = self.states[payment.number] if self.talks or self.rng.random() < 0.6 else "pending"
        return Outcome(state)


class BlindPay(Pay):
    """The control: goes by Postgres alone, and asks Redis for no pin."""

    def _pin(self, payment: Payment) -> Any:
        return self.payments.pin_without_redis(payment)


@dataclass
class Cast:
    stage: Stage
    world: Any
    judge: Judge
    rng: Random
    log: Log

    def __post_init__(self) -> None:
        world, rng = self.world, self.rng
        stores = (world.reservations, world.ledger)
        self.till = Till(Random(rng.random()))
        pay = BlindPay if world.off == "payments_keep_their_pin" else Pay
        self.pay = pay(self.till, world.payments, world.reservations, SHARDS, bound_ms=10**15, jitter=lambda: 0.0)
        self.reserve = Reserve(*stores, SHARDS)
        decide = Decide(*stores, SHARDS)
        self.confirm = Confirm(*stores, SHARDS, lambda pin: decide([pin])[pin.booking.booking_id])
        self.confirm_paid = replace(self.confirm, pay=self.pay)
        self.release, self.cancel, self.extend = Release(*stores), Cancel(*stores, SHARDS), Extend(*stores)
        self.open_zone = OpenZone(*stores, SHARDS)
        self.expire = Expire(*stores, pin_limit_ms=PIN_LIMIT_MS)
        self.audit = Audit(*stores, world.outbox, close=lambda shard: world.rebuilding[0].freeze(shard, "closed"))

    def rebuild(self, with_log: bool) -> Rebuild:
        reservations, ledger = self.world.rebuilding
        event_log = self.log if with_log else None
        return Rebuild(reservations, ledger, self.world.ledger.epochs, self.world.recorder, event_log)

    # --- web ---

    def client(self, user: str, rng: Random, order: Order, ways: Container[str]) -> None:
        """Reserves, retries what was not answered, and does with it what people do."""
        for _ in range(rng.randrange(40) if "one by one" in ways else 0):
            self.stage.pause()
        for _ in range(2):
            if self._bought(user, rng, order, ways):
                return  # else the reservation is lost, and what was asked for is asked for again

    def mover(self, user: str, _rng: Random, order: Order, _ways: Container[str]) -> None:
        """Gives seats back for as many in the other zone."""
        if booking := self.reserved(user, order):
            self.released(user, booking)
            (elsewhere,) = set(CAPACITIES) - {order.zone_id}
            self.reserved(user, replace(order, zone_id=elsewhere))

    def _bought(self, user: str, rng: Random, order: Order, ways: Container[str]) -> bool:
        """False if Redis does not know of the reservation any more."""
        booking = self.reserved(user, order)
        if booking is None:
            return True
        for n in range(rng.randrange(3) if "extend" in ways else 0):
            self.extended(user, booking, rng.choice((None, "once", f"extend-{n}")))
        if rng.random() < 0.25:
            self.released(user, booking)
            return True
        for attempt in range(4):
            answer = self.confirmed(user, booking, f"card-{attempt}" if "pay" in ways and rng.random() < 0.6 else None)
            if answer == "unknown":
                return False
            if answer == "confirmed":
                if rng.random() < 0.3:
                    self.cancelled(user, booking)
                return True
        return True

    def reserved(self, user: str, order: Order) -> Booking | None:
        for _ in range(3):
            try:
                held = self.reserve(user, order)
            except Refusal as refused:
                self.stage.say(
                    f"reserve {order.zone_id}x{order.quantity} key {order.idempotency_key}: {code_of(refused)}"
                )
                if code_of(refused) != "SERVICE_UNAVAILABLE":
                    return None
                continue
            told = f"{short(held.booking.booking_id)}{' again' if held.replayed else ''}"
            self.stage.say(f"reserve {order.zone_id}x{order.quantity} key {order.idempotency_key}: {told}")
            self.judge.reserved(user, order.idempotency_key, held.booking)
            return held.booking
        return None

    def extended(self, user: str, booking: Booking, key: str | None) -> None:
        what = f"extend {short(booking.booking_id)} key {key}"
        try:
            # One key, one booking: another's answer is not to be had with it.
            named = f"{key}-{short(booking.booking_id)}" if key else None
            extended = self.extend(user, booking.booking_id, named)
        except Refusal as refused:
            self.stage.say(f"{what}: {code_of(refused)}")
            return
        self.stage.say(f"{what}: OK")
        self.judge.extended(user, named, extended.booking, extended.replayed)

    def released(self, user: str, booking: Booking) -> None:
        try:
            self.release(user, booking.booking_id)
        except Refusal as refused:
            self.stage.say(f"release {short(booking.booking_id)}: {code_of(refused)}")
            return
        self.stage.say(f"release {short(booking.booking_id)}: OK")
        self.judge.released[booking.booking_id] = self.judge.amnesias

    def confirmed(self, user: str, booking: Booking, card: str | None) -> str:
        """What became of it."""
        what = f"confirm {short(booking.booking_id)} {card or 'free'}"
        confirm = self.confirm_paid if card else self.confirm
        try:
            answer = confirm(user, booking.booking_id, card)
        except Refusal as refused:
            self.stage.say(f"{what}: {code_of(refused)} {refused.extensions.get('reason', '')}")
            return str(refused.extensions.get("reason", code_of(refused)))
        self.stage.say(f"{what}: {answer.payment_state or answer.status}")
        if answer.status == "confirmed":
            self.judge.confirmed.add(booking.booking_id)
        return answer.status

    def cancelled(self, user: str, booking: Booking) -> None:
        self.judge.cancelled.add(booking.booking_id)
        try:
            self.cancel(user, booking.booking_id, None)
        except Refusal as refused:
            self.stage.say(f"cancel {short(booking.booking_id)}: {code_of(refused)}")
        else:
            self.stage.say(f"cancel {short(booking.booking_id)}: OK")

    # --- operator ---

    def admin(self, rng: Random) -> None:
        for _ in range(rng.choice((0, rng.randrange(12), rng.randrange(60)))):
            self.stage.pause()
        self.opened(rng.choice(("A", "A", "B")), rng.choice((1, 2, 4)))

    def cutter(self, rng: Random) -> None:
        """One of several who want the same zone smaller, at about the same time."""
        for _ in range(rng.randrange(4)):
            self.stage.pause()
        self.opened("A", rng.choice((1, 2)))

    def opened(self, name: str, capacity: int) -> None:
        zone = Zone(
            event_id=EVENT, zone_id=name, name=name, capacity=capacity, price_minor=PRICE_MINOR, currency=CURRENCY
        )
        try:
            self.open_zone(zone)
            self.stage.say(f"{name} has {zone.capacity} seats")
        except Refusal as refused:
            self.stage.say(f"{name} has not {zone.capacity} seats: {code_of(refused)}")

    # --- worker ---

    def relay(self, rng: Random) -> None:
        """Publishes, then forgets: whoever dies in between publishes twice."""
        for _ in range(rng.randrange(1, 20)):
            self.carry(rng.randrange(1, 4), rng.randrange(1, 4))

    def carry(self, most_entries: int, most_rows: int) -> bool:
        """Whether there was something to tell."""
        world = self.world
        if entries := world.outbox.read(SHARD, most_entries):
            self.log.append_entries(entries)
            world.outbox.acknowledge({SHARD: entries[-1]["seq"]})
        if rows := world.ledger_outbox.read(most_rows):
            self.log.append_events(rows)
            world.ledger_outbox.acknowledge([row.id for row in rows])
        return bool(entries or rows)

    def consumer(self, rng: Random) -> None:
        """In any order, some of it twice; dies before it commits its offsets: all of it comes again."""
        for _ in range(rng.randrange(1, 20)):
            self.stage.pause()
            batch = self.log.uncommitted()
            work = rng.sample(batch, len(batch)) + rng.sample(batch, len(batch) // 2)
            self.consume(work, lambda: rng.random() < 0.7)

    def consume(self, records: Sequence[Record], commits: Callable[[], bool]) -> None:
        done = [record for record in records if self.log.handle(record)]
        if commits():
            self.log.commit(done)

    def sweeper(self, _rng: Random) -> None:
        for _ in range(4):
            self.sweep()

    def sweep(self) -> None:
        with let_go():
            self.expire(SHARD)

    def auditor(self, _rng: Random) -> None:
        for _ in range(3):
            self.settle_stale()

    def settle_stale(self) -> None:
        with let_go():
            self.audit.settle_stale(SHARD)

    def saga(self, _rng: Random) -> None:
        for _ in range(6):
            self.pay_on()

    def pay_on(self) -> None:
        for payment in self.world.payments.list_payments(LEFT, None, 100):
            with let_go():
                decision = self.pay.step(payment)
                self.stage.say(f"payment {payment.state} for {short(payment.booking_id)}: {decision.outcome}")

    def rebuilder(self, with_log: bool) -> None:
        rebuild = self.rebuild(with_log)
        for _ in itertools.count():
            with let_go():
                if rebuild(SHARD):
                    self.stage.say("open")
                    return
            self.stage.pause()

    # --- faults ---

    def amnesia(self, rng: Random) -> None:
        for _ in range(rng.randrange(30)):
            self.stage.pause()
        self.stage.pause()
        self.forget(*rng.choice(((False, True), (False, False), (True, False))))
        for n in (1, 2):
            self.stage.spawn(f"rebuilder {n}", self.rebuilder, rng.random() < 0.5, mortal=False)

    def forget(self, older: bool, same_process: bool) -> None:
        self.world.forget(older, same_process)
        self.judge.amnesias += 1
        self.stage.say(f"Redis forgets: {'comes back older' if older else 'comes back empty'}")
