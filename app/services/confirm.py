"""confirm: the promise becomes a fact. Redis pins, the provider is asked where there is one, Postgres decides, Redis
settles (rules 3.2 and 3.3)."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from app.domain.errors import Refusal, refusal
from app.domain.ids import shard_of_event
from app.domain.model import Booking, Decision, Learned, Pin
from app.domain.ports import Ledger, Reservations
from app.services.handover import left_to_worker
from app.services.pay import Pay


@dataclass(frozen=True, slots=True)
class Decide:
    """Has Postgres decide pins, in one transaction, and settles in Redis what it confirms, a script a shard."""

    reservations: Reservations
    ledger: Ledger
    shards: int

    def __call__(self, pins: Sequence[Pin]) -> Mapping[Hashable, Decision]:
        """By booking. Durable when it returns; a shard that cannot be told now is left to the worker.

        Raises `SERVICE_UNAVAILABLE` for all of them."""
        decisions = self.ledger.confirm_bookings(pins)
        of_shards: defaultdict[int, list[Decision]] = defaultdict(list)
        for decision in decisions:
            if decision.outcome == "CONFIRMED" and decision.booking:
                of_shards[shard_of_event(decision.booking.event_id, self.shards)].append(decision)
        for shard, confirmed in of_shards.items():
            with left_to_worker("settling confirmed bookings"):
                learned = Learned.newest(decision.learned for decision in confirmed)
                self.reservations.settle(shard, [decision.booking_id for decision in confirmed], {}, learned)
        return {decision.booking_id: decision for decision in decisions}


@dataclass(frozen=True, slots=True)
class Confirm:
    reservations: Reservations
    ledger: Ledger
    shards: int
    decide: Callable[[Pin], Decision]
    """One pin's part of `Decide`; requests that come together share a call of it."""
    pay: Pay | None = None
    """None: the caller's `payment_id` is recorded as proof, and nobody is asked."""
    lease_ms: int = 5_000
    """How long the saga leaves a payment to us: longer than the provider has for its answer."""

    def __call__(self, user_id: str, booking_id: str, payment_id: str | None) -> Booking:
        """The confirmed booking, durable in Postgres; the same again when it is confirmed already with this payment.
        Still `reserved`, with the payment's state, where the provider's word is not known in time: ask again.

        Raises `RESERVATION_NOT_FOUND`, `ALREADY_CONFIRMED`, `CONFIRMATION_IN_PROGRESS`, `MAX_TICKETS_EXCEEDED`,
        `INSUFFICIENT_SEATS`, `PAYMENT_DECLINED`, `VALIDATION_ERROR`, `SERVICE_UNAVAILABLE`."""
        try:
            if self.pay and payment_id is None:
                self._check_that_it_is_free(booking_id, user_id)
            pin = self.reservations.confirm(booking_id, user_id, payment_id)
        except Refusal as refused:
            if refused.kind.code not in ("RESERVATION_NOT_FOUND", "CONFIRMATION_IN_PROGRESS"):
                raise
            return self._decided_before(user_id, booking_id, payment_id, refused)
        if self.pay and _total(pin.booking):
            return self._paid(self.pay, pin)
        decision = self.decide(pin)
        if decision.outcome != "CONFIRMED" or decision.booking is None:
            raise _refusal(decision)
        return decision.booking

    def _paid(self, pay: Pay, pin: Pin) -> Booking:
        """Intent, call, and what comes of it; whatever dies in between is finished by the saga."""
        booking, payment_id = pin.booking, pin.payment_id
        opened = pay.payments.open_payment(pin, self.lease_ms)
        if opened.decision.outcome == "VOIDED":  # a payment was declined, and nobody lived to take its pin back
            self.reservations.unpin(booking.booking_id, pin.number)
            pin = self.reservations.confirm(booking.booking_id, booking.user_id, payment_id)
            opened = pay.payments.open_payment(pin, self.lease_ms)
        decision = opened.decision
        if opened.payment and decision.outcome == "OPEN":
            decision = pay.conclude(opened.payment, pay.provider.capture(opened.payment))
        elif decision.outcome == "CONFIRMED":
            decision = self.decide(pin)  # whoever lets go of the hold learns the facts with it (rule 3.4)
        if decision.outcome == "CONFIRMED" and decision.booking:
            return decision.booking
        if decision.outcome == "PENDING":
            return replace(booking, payment_state="pending")
        if decision.outcome == "ALREADY_CONFIRMED" and decision.booking and decision.booking.payment_id == payment_id:
            return decision.booking  # by another attempt with the same card; this one is refunded
        raise _refusal(decision)

    def _check_that_it_is_free(self, booking_id: str, user_id: str) -> None:
        """Before anything is pinned. Raises `RESERVATION_NOT_FOUND`, `VALIDATION_ERROR`, `SERVICE_UNAVAILABLE`."""
        if _total(self.reservations.get(booking_id, user_id).booking):
            raise refusal("VALIDATION_ERROR", errors={"payment_id": ["Missing data for required field."]})

    def _decided_before(self, user_id: str, booking_id: str, payment_id: str | None, refused: Refusal) -> Booking:
        """Redis no longer holds it, or holds it pinned for another payment: Postgres has the last word (rule 3.10)."""
        booking = self.ledger.get_booking(booking_id)
        if booking is None or booking.user_id != user_id or booking.status == "reserved":
            raise refused
        if booking.status != "confirmed":
            raise refusal("RESERVATION_NOT_FOUND", reason=booking.status)
        if booking.payment_id != payment_id:
            raise refusal("ALREADY_CONFIRMED", "The booking is confirmed with another payment")
        return booking


def _total(booking: Booking) -> int:
    return booking.quantity * booking.unit_price_minor


def _refusal(decision: Decision) -> Refusal:
    if decision.outcome in ("PAYMENT_DECLINED", "VOIDED"):  # or just now, in another call with the same card
        return refusal("PAYMENT_DECLINED", decision.reason)
    if decision.outcome == "RESERVATION_NOT_FOUND":
        return refusal("RESERVATION_NOT_FOUND", reason=decision.reason)
    return refusal(decision.outcome)
