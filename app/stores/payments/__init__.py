"""The providers, each an adapter of the port `Payments`, and their attempts in Postgres."""

from collections.abc import Mapping
from functools import partial

from app.domain.payments import Notice, Payments, Verifier
from app.settings import Settings
from app.stores.payments.exchange import TimeLimit
from app.stores.payments.http import HttpPayments
from app.stores.payments.webhooks import StandardWebhooks


def provider_of(settings: Settings, time_limit: TimeLimit) -> Payments | None:
    """By `PAYMENTS`; None where nobody is asked."""
    timeout_s = settings.payment_timeout_ms / 1000
    match settings.payments:
        case "http":
            return HttpPayments(settings.payments_url or "", settings.payments_token, timeout_s, time_limit)
        case "stripe":
            # Its library takes 0.2 s to load, and 30 MB: only those pay for it who use it.
            from app.stores.payments.stripe import StripePayments

            return StripePayments(settings.stripe_secret_key or "", timeout_s, settings.payments_url, time_limit)
        case _:
            return None


def verifiers_of(settings: Settings) -> dict[str, Verifier]:
    """By where a webhook is sent to, those whose secret is known."""
    verifiers: dict[str, Verifier] = {}
    if settings.payments_webhook_secret:
        verifiers["payments"] = StandardWebhooks(settings.payments_webhook_secret)
    if settings.stripe_webhook_secret:
        verifiers["stripe"] = partial(_of_stripe, settings.stripe_webhook_secret)
    return verifiers


def _of_stripe(secret: str, headers: Mapping[str, str], body: bytes) -> Notice:
    from app.stores.payments.stripe_webhooks import StripeWebhooks

    return StripeWebhooks(secret)(headers, body)
