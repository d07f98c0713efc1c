"""The providers, each an adapter of the port `Payments`, and their attempts in Postgres."""

from app.domain.payments import Payments, Verifier
from app.settings import Settings
from app.stores.payments.http import HttpPayments
from app.stores.payments.webhooks import StandardWebhooks


def provider_of(settings: Settings) -> Payments | None:
    """By `PAYMENTS`; None where nobody is asked."""
    timeout_s = settings.payment_timeout_ms / 1000
    match settings.payments:
        case "http":
            return HttpPayments(settings.payments_url or "", settings.payments_token, timeout_s)
        case _:
            return None


def verifiers_of(settings: Settings) -> dict[str, Verifier]:
    """By where a webhook is sent to, those whose secret is known."""
    secret = settings.payments_webhook_secret
    return {"payments": StandardWebhooks(secret)} if secret else {}
