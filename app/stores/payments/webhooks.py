"""Webhooks by the specification Standard Webhooks: signed over id, time and raw body, not older than five minutes."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from standardwebhooks import Webhook, WebhookVerificationError

from app.as_json import object_to_keep
from app.domain.errors import refusal
from app.domain.payments import Notice

_LONGEST_ID: Final = 200


class StandardWebhooks:
    def __init__(self, secret: str) -> None:
        self._webhook = Webhook(secret)

    def __call__(self, headers: Mapping[str, str], body: bytes) -> Notice:
        """Raises `UNAUTHORIZED`, `MALFORMED_REQUEST`."""
        try:
            self._webhook.verify(body, dict(headers), json_parse=False)
        except (WebhookVerificationError, ValueError):  # ValueError: a signature that is none, a body that is no text
            raise refusal("UNAUTHORIZED", "The signature cannot be verified") from None
        told, message_id = object_of(body), headers["webhook-id"]
        if len(message_id) > _LONGEST_ID:
            raise refusal("MALFORMED_REQUEST", f"`webhook-id` is longer than {_LONGEST_ID} characters")
        data = told.get("data")
        attempt_id = data.get("attempt_id") if isinstance(data, dict) else None
        kind = str(told.get("type"))[:200]
        return Notice(
            message_id=message_id,
            type=kind,
            succeeded=kind == "payment.succeeded",
            attempt_id=attempt_id if is_uuid(attempt_id) else None,
            reference=None,
            payload=told,
        )


def object_of(body: bytes) -> dict[str, Any]:
    """Raises `MALFORMED_REQUEST` for what is no object, or what Postgres cannot keep."""
    try:
        return object_to_keep(body)
    except ValueError:
        raise refusal("MALFORMED_REQUEST", "The body is not a JSON object that can be kept") from None


def is_uuid(text: object) -> bool:
    try:
        return isinstance(text, str) and str(UUID(text)) == text
    except ValueError:
        return False
