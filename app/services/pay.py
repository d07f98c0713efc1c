"""pay: what an attempt to be paid comes to. The web process and the saga do the same, one step at a time; each step is
decided by Postgres and may be repeated."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from app.domain import money
from app.domain.errors import Refusal
from app.domain.ids import shard_of_event
from app.domain.model import Decision, Order, PaymentState, Pin
from app.domain.payments import Outcome, Payment, PaymentLedger, Payments
from app.domain.ports import Reservations
from app.services.handover import left_to_worker

_FIRST_DELAY_MS = 500
_LONGEST_DELAY_MS = 30_000


@dataclass(frozen=True, slots=True)
class Pay:
    provider: Payments
    payments: PaymentLedger
    reservations: Reservations
    shards: int
    bound_ms: int = 120_000
    """How long the outcome of a payment may be unknown before it is given up, and its seats with it."""
    lease_ms: int = 15_000
    """How long one step may take: then another may do it again."""
    jitter: Callable[[], float] = random.random

    def claim(self, limit: int) -> list[Payment]:
        """Attempts about which something is to be done now, ours for a while. Raises `SERVICE_UNAVAILABLE`."""
        return list(self.payments.claim_payments(limit, self.lease_ms))

    def step(self, payment: Payment) -> Decision:
        """Asks the provider, and does what follows from its answer. Raises `SERVICE_UNAVAILABLE`."""
        if payment.is_open and payment.age_ms > self.bound_ms:
            # The seats are free again from here on; what the provider has done is still to be found out.
            return self._close(payment, Outcome("voided", "the outcome was not known in time"), "voiding")
        return self.conclude(payment, self._ask(payment))

    def conclude(self, payment: Payment, outcome: Outcome) -> Decision:
        """CONFIRMED, with the booking; PAYMENT_DECLINED or whatever else refuses it; PENDING: the saga goes on.

        Raises `SERVICE_UNAVAILABLE`."""
        if payment.state == "refunding":
            return self._refunded(payment, outcome)
        match outcome.state:
            case "captured":
                return self._captured(payment, outcome)
            case "declined" | "failed" | "voided":
                return self._close(payment, outcome, outcome.state)
            case "refunded":
                return self._close(payment, outcome, "voided")
            case _:
                return self._put_off(payment, outcome)

    def _ask(self, payment: Payment) -> Outcome:
        match payment.state:
            case "voiding":
                return self.provider.void(payment)
            case "refunding":
                return self.provider.refund(payment)
            case _:
                outcome = self.provider.status(payment)
                # Whoever wrote the intent died before the call: the customer has asked for it.
                return self.provider.capture(payment) if outcome.state == "unknown" else outcome

    def _captured(self, payment: Payment, outcome: Outcome) -> Decision:
        """The money is there: it becomes a ticket, or goes back."""
        pin = self._pin(payment)
        decision = self.payments.capture_payment(payment, pin, outcome.reference)
        if decision.outcome == "CONFIRMED":
            self._settle(payment, decision)
            return decision
        if decision.outcome == "SERVICE_UNAVAILABLE":
            return self._put_off(payment, Outcome("pending", "captured, and not yet confirmed", outcome.reference))
        if decision.reason == "expired" and (honoured := self._honoured(payment, outcome)):
            return honoured
        why = f"captured, and not to be confirmed: {decision.reason or decision.outcome}"
        refused = self._close(payment, Outcome("captured", why, outcome.reference), "refunding", pin)
        return refused if refused.outcome == "PENDING" else decision

    def _honoured(self, payment: Payment, outcome: Outcome) -> Decision | None:
        """The booking has expired, and its payer has paid: seats of the same price are reserved anew, a sale like any
        other, and confirmed. None if there are none to be had."""
        try:
            held = self.reservations.reserve(payment.user_id, _same_order(payment))
            pin = self.reservations.confirm(held.booking.booking_id, payment.user_id, payment.payment_id)
        except Refusal as refused:
            if refused.kind.code == "SERVICE_UNAVAILABLE":
                raise
            return None
        decision = self.payments.honour_payment(payment, pin, outcome.reference)
        if decision.outcome != "CONFIRMED":
            return None  # what was reserved for it ends by itself
        self._settle(payment, decision)
        return decision

    def _settle(self, payment: Payment, decision: Decision) -> None:
        with left_to_worker("settling a paid booking"):
            shard = shard_of_event(payment.event_id, self.shards)
            self.reservations.settle(shard, [decision.booking_id], {}, decision.learned)

    def _close(self, payment: Payment, outcome: Outcome, state: PaymentState, pin: Pin | None = None) -> Decision:
        """No booking comes of it. Postgres voids the pin first; only then Redis takes it back (rule 3.3)."""
        if payment.is_open:
            pin = pin or self._pin(payment)
        done = self.payments.void_pin(payment, pin, state, outcome.detail, outcome.reference)
        if done == "SERVICE_UNAVAILABLE":
            return self._put_off(payment, outcome)
        if pin and done == "VOIDED":
            with left_to_worker("unpinning a reservation"):
                self.reservations.unpin(payment.booking_id, pin.number)
        return Decision(payment.booking_id, "PAYMENT_DECLINED", reason=outcome.detail)

    def _refunded(self, payment: Payment, outcome: Outcome) -> Decision:
        if outcome.state in ("refunded", "voided", "declined", "failed"):
            self.payments.close_refund(payment, outcome)
            return Decision(payment.booking_id, "PAYMENT_DECLINED", reason=outcome.detail)
        return self._put_off(payment, outcome)

    def _put_off(self, payment: Payment, outcome: Outcome) -> Decision:
        """To be asked about again: each time twice as late, and not all at once."""
        delay_ms = min(_FIRST_DELAY_MS * 2 ** min(payment.tries, 16), _LONGEST_DELAY_MS)
        delay_ms = round(delay_ms * (0.5 + self.jitter() / 2))
        if payment.is_open:  # a long delay must not outlast the bound
            delay_ms = min(delay_ms, max(self.bound_ms - payment.age_ms, 0) + 1)
        self.payments.put_off_payment(payment, delay_ms, outcome.detail, outcome.reference)
        return Decision(payment.booking_id, "PENDING", reason=outcome.detail)

    def _pin(self, payment: Payment) -> Pin | None:
        """The reservation, pinned for this payment as it has been or anew; None if it cannot be."""
        try:
            return self.reservations.confirm(payment.booking_id, payment.user_id, payment.payment_id)
        except Refusal as refused:
            if refused.kind.code in ("RESERVATION_NOT_FOUND", "CONFIRMATION_IN_PROGRESS"):
                return None
            raise


def _same_order(payment: Payment) -> Order:
    """The same seats again, at the price that was paid; asked twice, it is one reservation."""
    price = Decimal(money.to_text(payment.amount_minor // payment.quantity, payment.currency))
    return Order(
        payment.event_id,
        payment.zone_id,
        payment.quantity,
        seen_price=money.finest(price),
        idempotency_key=f"honour-{payment.attempt_id}",
    )
