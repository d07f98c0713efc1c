"""A provider that speaks the protocol of docs/payments.md: an in-house one, or a thin service in front of another."""

import json
from contextlib import nullcontext
from typing import Any, Final, cast, get_args

from app.domain.payments import Outcome, OutcomeState, Payment
from app.stores.payments.exchange import Exchange, NoAnswer, TimeLimit

_LONGEST_ANSWER: Final = 16_384  # bytes; a state and a reason fit into 1 KiB
_STATES: Final = frozenset(get_args(OutcomeState)) - {"unknown"}
_LONGEST_TEXT: Final = 500  # characters of what we keep of it


class HttpPayments:
    """`timeout_s` bounds a call as a whole, however slowly its answer trickles in. Safe for threads and greenlets."""

    def __init__(
        self, url: str, token: str | None, timeout_s: float, time_limit: TimeLimit = lambda seconds: nullcontext()
    ) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._exchange = Exchange(_LONGEST_ANSWER, time_limit)

    def capture(self, payment: Payment) -> Outcome:
        asked = {
            "payment_id": payment.payment_id,
            "booking_id": payment.booking_id,
            "user_id": payment.user_id,
            "amount_minor": payment.amount_minor,
            "currency": payment.currency,
        }
        return self._ask("PUT", payment, body=asked)

    def status(self, payment: Payment) -> Outcome:
        return self._ask("GET", payment)

    def void(self, payment: Payment) -> Outcome:
        return self._ask("POST", payment, "void")

    def refund(self, payment: Payment) -> Outcome:
        return self._ask("POST", payment, "refund")

    def _ask(self, method: str, payment: Payment, verb: str = "", body: dict[str, Any] | None = None) -> Outcome:
        url = f"{self._url}/payments/{payment.attempt_id}" + (f"/{verb}" if verb else "")
        headers = {"Accept": "application/json"}
        if method != "GET":
            headers |= {
                "Content-Type": "application/json",
                "Idempotency-Key": f"{payment.attempt_id}:{verb or 'capture'}",
            }
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            told = json.dumps(body or {}) if method != "GET" else None
            answer = self._exchange(method, url, headers, told, self._timeout_s)
        except NoAnswer as error:
            return Outcome("pending", f"the provider does not answer ({error})")
        if answer.status == 404 and method == "GET":
            return Outcome("unknown")
        return _outcome(answer.status, answer.body)


def _outcome(status: int, text: bytes) -> Outcome:
    """What was answered. Anything but a state that we know says nothing about the payment."""
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    state = answer.get("state") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or status != 200 or state not in _STATES:
        return Outcome("pending", f"the provider answered {status} and no state of the payment")
    return Outcome(cast(OutcomeState, state), kept(answer.get("reason")), kept(answer.get("reference")))


def kept(value: object) -> str | None:
    """A provider's text as Postgres takes it."""
    return value.replace("\0", "")[:_LONGEST_TEXT] if isinstance(value, str) else None
