"""Stripe: PaymentIntents that are authorised and then captured, through Stripe's own library over our bounded exchange.

A create with the attempt's key is one PaymentIntent however often it comes, so it also finds what an answer that was
lost has made. Stripe keeps a key for a day at least; what is older is looked for by its metadata.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

import stripe

from app.domain import money
from app.domain.payments import Outcome, Payment
from app.stores.payments.exchange import Exchange, NoAnswer, TimeLimit
from app.stores.payments.http import kept

if TYPE_CHECKING:  # the library loads its modules when they are used
    from stripe.params import PaymentIntentCreateParams

_LONGEST_ANSWER: Final = 1_048_576  # bytes; a PaymentIntent has about 4 KiB, a hundred refunds a hundred
_KEY_KEPT_MS: Final = 23 * 3600 * 1000
_MOST_REFUNDS: Final = 100
_DIGITS: Final = {"ISK": 2, "UGX": 2, "MGA": 0}
"""Where Stripe's minor unit is not that of ISO 4217."""
_CANCELABLE: Final = ("requires_capture", "requires_payment_method", "requires_action", "requires_confirmation")

stripe.enable_telemetry = False


class StripePayments:
    """`timeout_s` bounds each of our calls as a whole, however many of Stripe's it takes. Safe for threads and
    greenlets."""

    def __init__(
        self,
        secret_key: str,
        timeout_s: float,
        url: str | None = None,
        time_limit: TimeLimit = lambda seconds: nullcontext(),
    ) -> None:
        self._secret_key = secret_key
        self._timeout_s = timeout_s
        self._url = url
        self._exchange = Exchange(_LONGEST_ANSWER, time_limit)

    def capture(self, payment: Payment) -> Outcome:
        return self._asked(payment, lambda call: call.capture())

    def status(self, payment: Payment) -> Outcome:
        """`unknown`: a capture is still to be asked for; it finds what there is."""
        if payment.reference is None:
            return Outcome("unknown")
        return self._asked(payment, lambda call: call.status())

    def void(self, payment: Payment) -> Outcome:
        return self._asked(payment, lambda call: call.void())

    def refund(self, payment: Payment) -> Outcome:
        return self._asked(payment, lambda call: call.refund())

    def _asked(self, payment: Payment, ask: "Callable[[_Call], Outcome]") -> Outcome:
        line = _Line(self._exchange, time.monotonic() + self._timeout_s)
        bases: Any = {"api": self._url} if self._url else {}
        client = stripe.StripeClient(self._secret_key, base_addresses=bases, http_client=line, max_network_retries=0)
        call = _Call(client.v1, payment)
        try:
            return ask(call)
        except stripe.StripeError as error:
            return _not_said(error, call.reference)


class _Call:
    """One call of the port. `reference` is what is known of the PaymentIntent by the time that something goes wrong."""

    def __init__(self, api: Any, payment: Payment) -> None:
        self._api = api
        self._payment = payment
        self.reference = payment.reference

    def capture(self) -> Outcome:
        amount = _amount(self._payment)
        if amount is None:
            return Outcome("failed", f"Stripe cannot take this amount of {self._payment.currency}")
        intent = self._intent(amount)
        if intent.status == "requires_capture":
            intent = self._api.payment_intents.capture(intent.id, options=self._key("capture"))
        return _outcome(intent)

    def status(self) -> Outcome:
        return _outcome(self._api.payment_intents.retrieve(self.reference))

    def void(self) -> Outcome:
        """Of one that never came as well: it is authorised and cancelled, and a capture that arrives later finds it
        so."""
        amount = _amount(self._payment)
        if amount is None:
            return Outcome("voided")
        intent = self._intent(amount)
        if intent.status in _CANCELABLE:
            intent = self._api.payment_intents.cancel(intent.id, options=self._key("void"))
        return _outcome(intent)

    def refund(self) -> Outcome:
        """A refund may fail days later: the next one has another key."""
        intent = self.reference or self._intent(_amount(self._payment) or 0).id
        asked = {"payment_intent": intent, "limit": _MOST_REFUNDS}
        refunds = self._api.refunds.list(asked).data
        given = sum(refund.amount for refund in refunds if refund.status == "succeeded")
        if given >= (_amount(self._payment) or 0):
            return Outcome("refunded", reference=intent)
        if not any(refund.status in ("pending", "requires_action") for refund in refunds):
            refund = self._api.refunds.create(
                {"payment_intent": intent, "metadata": self._names()}, options=self._key(f"refund:{len(refunds)}")
            )
            if refund.status == "succeeded":
                return Outcome("refunded", reference=intent)
        return Outcome("captured", "the refund is on its way", intent)

    def _intent(self, amount: int) -> Any:
        """The attempt's PaymentIntent as it stands now; made, and authorised, where there is none."""
        intent = self._existing() or self._created(amount)
        self.reference = intent.id
        return intent

    def _existing(self) -> Any:
        if self.reference:
            return self._api.payment_intents.retrieve(self.reference)
        return self._found() if self._payment.age_ms > _KEY_KEPT_MS else None

    def _found(self) -> Any:
        query = f"metadata['attempt_id']:'{self._payment.attempt_id}'"
        found = self._api.payment_intents.search({"query": query}).data
        return self._api.payment_intents.retrieve(found[0].id) if found else None

    def _created(self, amount: int) -> Any:
        wanted: PaymentIntentCreateParams = {
            "amount": amount,
            "currency": self._payment.currency.lower(),
            "payment_method": self._payment.payment_id,
            "capture_method": "manual",
            "confirm": True,
            # Nobody is there who could be sent to the bank's page.
            "error_on_requires_action": True,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "metadata": self._names(),
        }
        try:
            intent = self._api.payment_intents.create(wanted, options=self._key("create"))
        except stripe.APIError as error:
            # An error of Stripe's own is told again for a day, whatever has come of it.
            if (error.http_status or 0) < 500 or (found := self._found()) is None:
                raise
            return found
        if intent.last_response.headers.get("idempotent-replayed") == "true":
            return self._api.payment_intents.retrieve(intent.id)  # what was said the first time is long past
        return intent

    def _names(self) -> dict[str, str]:
        return {"attempt_id": self._payment.attempt_id, "booking_id": self._payment.booking_id}

    def _key(self, verb: str) -> dict[str, str]:
        return {"idempotency_key": f"{self._payment.attempt_id}:{verb}"}


class _Line(stripe.HTTPClient):
    """The library's way out, until a point of time (monotonic seconds)."""

    name = "holdfast"

    def __init__(self, exchange: Exchange, until: float) -> None:
        super().__init__()
        self._exchange = exchange
        self._until = until

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_: Any
    ) -> tuple[str, int, Mapping[str, str]]:
        """Raises `stripe.APIConnectionError`."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise _no_answer("no time is left")
        try:
            answer = self._exchange(method.upper(), url, headers or {}, post_data, left)
        except NoAnswer as error:
            raise _no_answer(str(error)) from error
        return answer.body.decode("utf-8", "replace"), answer.status, answer.headers

    def close(self) -> None:
        """Each exchange has closed its own connection."""


def _no_answer(why: str) -> stripe.APIConnectionError:
    return stripe.APIConnectionError(why)  # type: ignore[no-untyped-call]


def _amount(payment: Payment) -> int | None:
    """In Stripe's minor unit; None for a fraction of it."""
    ours = money.digits_of(payment.currency)
    more = _DIGITS.get(payment.currency, ours) - ours
    amount, rest = divmod(payment.amount_minor * 10 ** max(more, 0), 10 ** max(-more, 0))
    return None if rest else amount


def _outcome(intent: Any) -> Outcome:
    match intent.status:
        case "succeeded":
            return Outcome("captured", reference=intent.id)
        case "canceled":
            return Outcome("voided", reference=intent.id)
        case "requires_payment_method":
            error = intent.last_payment_error
            return Outcome("declined", kept(error.message) if error else "declined", intent.id)
        case "requires_capture":
            return Outcome("unknown", reference=intent.id)
        case other:
            return Outcome("pending", f"Stripe: {other}", intent.id)


def _not_said(error: stripe.StripeError, reference: str | None) -> Outcome:
    """A card is declined, and what Stripe takes for no payment at all is none; anything else says nothing."""
    intent = getattr(error.error, "payment_intent", None)
    reference = reference or getattr(intent, "id", None)
    if isinstance(error, stripe.CardError):
        return Outcome("declined", kept(error.user_message), reference)
    if isinstance(error, stripe.InvalidRequestError) and reference is None:
        return Outcome("failed", kept(error.user_message))
    return Outcome("pending", f"Stripe does not say ({type(error).__name__}: {kept(error.user_message)})", reference)
