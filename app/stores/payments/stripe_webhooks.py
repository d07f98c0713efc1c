"""Webhooks as Stripe signs them: over time and raw body, not older than five minutes; its own library checks that."""

from collections.abc import Mapping
from typing import Any, Final

import stripe

from app.domain.errors import refusal
from app.domain.payments import Notice
from app.stores.payments.webhooks import is_uuid, object_of

_TOLERANCE_S: Final = 300
_MONEY_IS_THERE: Final = ("payment_intent.succeeded", "payment_intent.amount_capturable_updated", "charge.succeeded")


class StripeWebhooks:
    def __init__(self, secret: str) -> None:
        self._secret = secret

    def __call__(self, headers: Mapping[str, str], body: bytes) -> Notice:
        """Raises `UNAUTHORIZED`, `MALFORMED_REQUEST`."""
        try:
            stripe.WebhookSignature.verify_header(body, headers.get("stripe-signature"), self._secret, _TOLERANCE_S)
        except (
            stripe.SignatureVerificationError,
            ValueError,
            TypeError,
        ):  # the latter: a body, a signature not in ASCII
            raise refusal("UNAUTHORIZED", "The signature cannot be verified") from None
        told = object_of(body)
        message_id, kind, about = told.get("id"), told.get("type"), _object_of_event(told)
        if not isinstance(message_id, str) or not isinstance(kind, str):
            raise refusal("MALFORMED_REQUEST", "The event has no id or no type")
        intent = about.get("id") if about.get("object") == "payment_intent" else about.get("payment_intent")
        metadata = about.get("metadata")
        attempt_id = metadata.get("attempt_id") if isinstance(metadata, dict) else None
        return Notice(
            message_id=message_id[:200],
            type=kind[:200],
            succeeded=kind in _MONEY_IS_THERE,
            attempt_id=attempt_id if is_uuid(attempt_id) else None,
            reference=intent if isinstance(intent, str) else None,
            payload=told,
        )


def _object_of_event(told: Mapping[str, Any]) -> dict[str, Any]:
    data = told.get("data")
    about = data.get("object") if isinstance(data, dict) else None
    return about if isinstance(about, dict) else {}
