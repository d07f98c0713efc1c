"""Payments: one attempt to be paid for a booking, and what is asked of a provider.

    intent ──> pending ──captured──> captured ──the booking is cancelled──> refunding ──> refunded
       │          │ ├───declined, failed──> declined, failed
       │          │ └───not known in time──> voiding ──> voided (or captured after all)
       └──────────┘                             └───captured, and no seat is left──> refunding

`intent` is durable before the provider is called; `pending` means that the call's outcome is not known. These two are
open: the reservation is pinned and cannot end. `captured` is recorded in the transaction that confirms the booking.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from app.domain.model import Decision, PaymentState, Pin

OutcomeState = Literal["captured", "declined", "failed", "voided", "refunded", "pending", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One attempt, as Postgres has it. The provider knows it by `attempt_id`, its idempotency key: the next attempt for
    the same booking, or with the same card, has another."""

    number: int
    attempt_id: str
    booking_id: str
    event_id: str
    zone_id: str
    user_id: str
    quantity: int
    payment_id: str
    """As the customer named it to confirm: a card's token, an in-house reference."""
    amount_minor: int
    currency: str
    state: PaymentState
    reference: str | None
    """The provider's own name for it."""
    tries: int
    """How often it was asked about since it came into this state."""
    detail: str | None
    age_ms: int

    @property
    def is_open(self) -> bool:
        return self.state in ("intent", "pending")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a provider says of an attempt. `pending`: it does not know, or nobody could ask it. `unknown`: it has never
    heard of the attempt. `declined`, `failed`, `voided`: nothing was taken, and nothing will be."""

    state: OutcomeState
    detail: str | None = None
    reference: str | None = None


class Payments(Protocol):
    """A provider. No call raises for what the provider or the network does: that is `pending`. Each may be repeated:
    the attempt's idempotency key makes it one."""

    def capture(self, payment: Payment) -> Outcome:
        """Takes the money; asked again, answers what came of it."""

    def status(self, payment: Payment) -> Outcome: ...
    def void(self, payment: Payment) -> Outcome:
        """Sees to it that nothing is taken, also by a capture that arrives later; `captured` where that is too late."""

    def refund(self, payment: Payment) -> Outcome:
        """Gives all of it back. `captured`: not done yet, ask again."""


@dataclass(frozen=True, slots=True)
class Step:
    """A state that an attempt was in, since when, and why."""

    state: PaymentState
    at_ms: int
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """What a provider tells by itself: that something has happened to an attempt, named by its key or by the provider's
    own name. It is taken as a hint to ask."""

    message_id: str
    type: str
    succeeded: bool
    attempt_id: str | None
    reference: str | None
    payload: Mapping[str, object]


Verifier = Callable[[Mapping[str, str], bytes], Notice]
"""From a request's headers and raw body. Raises `UNAUTHORIZED`, `MALFORMED_REQUEST`."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Postgres' word on the intent to pay. OPEN: with the payment; VOIDED: the pin is to be taken back first; else as
    `confirm_bookings` decides."""

    decision: Decision
    payment: Payment | None = None


class PaymentLedger(Protocol):
    """Postgres, seen by the saga. Each method is one function call and one transaction."""

    def open_payment(self, pin: Pin, lease_ms: int) -> Opened: ...
    def capture_payment(self, payment: Payment, pin: Pin | None, reference: str | None) -> Decision: ...
    def void_pin(
        self, payment: Payment, pin: Pin | None, state: PaymentState, detail: str | None, reference: str | None
    ) -> str: ...
    def honour_payment(self, payment: Payment, pin: Pin, reference: str | None) -> Decision: ...
    def put_off_payment(self, payment: Payment, delay_ms: int, detail: str | None, reference: str | None) -> None: ...
    def close_refund(self, payment: Payment, outcome: Outcome) -> None: ...
    def claim_payments(self, limit: int, lease_ms: int) -> Sequence[Payment]: ...
    def receive(self, source: str, notice: Notice) -> bool:
        """Whether it was new."""

    def doubt_payment(self, number: int, detail: str) -> None: ...
    def get_payments(self, booking_id: str) -> Sequence[tuple[Payment, Sequence[Step]]]: ...
    def list_payments(
        self, states: Sequence[PaymentState] | None, number: int | None, limit: int
    ) -> Sequence[Payment]: ...
