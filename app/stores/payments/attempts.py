"""Postgres as the port `PaymentLedger`: each method is one function of `sql/functions`."""

from collections.abc import Sequence

import orjson
from psycopg.types.json import Jsonb

from app.domain.ids import is_booking_id
from app.domain.model import Decision, PaymentState, Pin
from app.domain.payments import Notice, Opened, Outcome, Payment, Step
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

    def honour_payment(self, payment: Payment, pin: Pin, reference: str | None) -> Decision:
        (row,) = self._postgres.rows(
            "SELECT booking_id::text, outcome, reason, booking, zone, user_seats "
            "FROM booking.honour_payment(p_payment_no => %s, p_pins => %s, p_reference => %s)",
            [payment.number, pins_of([pin]), reference],
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

    def receive(self, source: str, notice: Notice) -> bool:
        ((new,),) = self._postgres.rows(
            "SELECT booking.receive_payment_event(p_source => %s, p_message_id => %s, p_type => %s, "
            "p_attempt_id => %s::uuid, p_reference => %s, p_succeeded => %s, p_payload => %s)",
            [
                *(source, notice.message_id, notice.type, notice.attempt_id, notice.reference, notice.succeeded),
                Jsonb(dict(notice.payload), dumps=orjson.dumps),
            ],
        )
        return bool(new)

    def doubt_payment(self, number: int, detail: str) -> None:
        self._postgres.rows(
            "SELECT booking.doubt_payment(p_payment_no => %s, p_succeeded => true, p_detail => %s)", [number, detail]
        )

    def get_payments(self, booking_id: str) -> Sequence[tuple[Payment, Sequence[Step]]]:
        if not is_booking_id(booking_id):
            return []
        rows = self._postgres.rows("SELECT payment, steps FROM booking.get_payments(p_booking_id => %s)", [booking_id])
        return [(Payment(**payment), [Step(**step) for step in steps]) for payment, steps in rows]

    def list_payments(self, states: Sequence[PaymentState] | None, number: int | None, limit: int) -> Sequence[Payment]:
        rows = self._postgres.rows(
            "SELECT payment FROM booking.list_payments(p_states => %s, p_payment_no => %s, p_limit => %s) AS payment",
            [list(states) if states else None, number, limit],
        )
        return [Payment(**payment) for (payment,) in rows]
