"""/webhooks: what payment providers tell by themselves. A signature over the raw body is all that admits."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar, cast

from flask import request

from app.api import answers, present
from app.api.asked import asked
from app.api.contract import Blueprint, documented, refuses
from app.api.services import wired
from app.api.strict_json import bytes_of

V = TypeVar("V", bound=Callable[..., Any])
blueprint: Final = Blueprint("webhooks", "What payment providers tell by themselves")
_BODY: Final = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}


def signed(*headers: str) -> Callable[[V], V]:
    """Gives the view the headers and the raw body: a signature is over bytes. `headers` carry it."""
    parameters = [{"in": "header", "name": name, "required": True, "schema": {"type": "string"}} for name in headers]

    def decorate(view: V) -> V:
        @wraps(view)
        def with_body(*positional: Any, **named: Any) -> Any:
            sent = {name.lower(): value for name, value in request.headers.items()}
            return view(*positional, sent=sent, body=bytes_of(asked()), **named)

        described = documented(with_body, parameters=parameters, requestBody=_BODY)
        return cast(V, refuses("UNAUTHORIZED", "MALFORMED_REQUEST", "PAYLOAD_TOO_LARGE")(described))

    return decorate


@blueprint.route("POST", "/webhooks/payments", operation="payments_webhook")
@blueprint.answers(present.received, {200: answers.Received})
@refuses("SERVICE_UNAVAILABLE")
@signed("webhook-id", "webhook-timestamp", "webhook-signature")
def payments(*, sent: dict[str, str], body: bytes) -> bool:
    """A provider's word about a payment, as Standard Webhooks

    `type` is `payment.succeeded` or `payment.failed`, `data.attempt_id` says which. The provider is then asked; a 200
    says that the word will not get lost.
    """
    return wired().receive("payments", sent, body)


@blueprint.route("POST", "/webhooks/stripe", operation="stripe_webhook")
@blueprint.answers(present.received, {200: answers.Received})
@refuses("SERVICE_UNAVAILABLE")
@signed("stripe-signature")
def stripe(*, sent: dict[str, str], body: bytes) -> bool:
    """An event of Stripe's

    Any that concern a PaymentIntent (`payment_intent.*`, `charge.*`, `refund.*`). Stripe is then asked; a 200 says that
    the event will not get lost.
    """
    return wired().receive("stripe", sent, body)
