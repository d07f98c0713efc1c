"""Postgres as the port `PaymentLedger`: each method is one function of `sql/functions`."""

from collections.abc import Sequence

from app.domain.model import Decision, PaymentState, Pin
from app.domain.payments import Opened, Outcome, Payment
from app.stores.postgres import Postgres
from app.stores.rows import decision_of, pins_of


class PostgresPayments:
    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def open_payment(self, pin: Pin, lease_ms: int) -> Opened:
        ((*head, payment),) = self._postgres.rows(
            "SELECT booking_id::text, outcome, reason, booking, payment "
            "FROM booking.open_payment(p_pins => %s, p_lease_ms => %s)",
            [pins_of([pin]), lease_ms],
        )
        return Opened(decision_of((*head, None, None)), Payment(**payment) if payment else None)

    def capture_payment(self, payment: Payment, pin: Pin | None, reference: str | None) -> Decision:
        (row,) = self._postgres.rows(
            "SELECT booking_id::text, outcome, reason, booking, zone, user_seats "
            "FROM booking.capture_payment(p_payment_no => %s, p_pins => %s, p_reference => %s)",
            [payment.number, pins_of([pin]) if pin else None, reference],
        )
        return decision_of(row)

    def void_pin(
        self, payment: Payment, pin: Pin | None, state: PaymentState, detail: str | None, reference: str | None
    ) -> str:
        ((outcome,),) = self._postgres.rows(
            "SELECT booking.void_pin(p_payment_no => %s, p_epoch => %s, p_pin => %s, p_state => %s, p_detail => %s, "
            "p_reference => %s)",
            [payment.number, pin and pin.epoch, pin and pin.number, state, detail, reference],
        )
        return str(outcome)

    def put_off_payment(self, payment: Payment, delay_ms: int, detail: str | None, reference: str | None) -> None:
        self._postgres.rows(
            "SELECT booking.put_off_payment(p_payment_no => %s, p_delay_ms => %s, p_detail => %s, p_reference => %s)",
            [payment.number, delay_ms, detail, reference],
        )

    def close_refund(self, payment: Payment, outcome: Outcome) -> None:
        self._postgres.rows(
            "SELECT booking.close_refund(p_payment_no => %s, p_state => %s, p_detail => %s, p_reference => %s)",
            [payment.number, outcome.state, outcome.detail, outcome.reference],
        )

    def claim_payments(self, limit: int, lease_ms: int) -> Sequence[Payment]:
        rows = self._postgres.rows(
            "SELECT payment FROM booking.claim_payments(p_limit => %s, p_lease_ms => %s) AS payment", [limit, lease_ms]
        )
        return [Payment(**payment) for (payment,) in rows]
