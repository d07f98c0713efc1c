"""Every call that the adapter for Stripe makes, before stripe-mock, which checks each against Stripe's own description
of its API. It keeps no state and knows no behaviour: that is tested in tests/integration/payments.

Not part of `make test`, hence the name without `test_`: `make test-extra` builds the mock and runs it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pytest

from app.domain.payments import Payment
from app.stores.payments.exchange import Answer, Exchange
from app.stores.payments.stripe import StripePayments
from dev import ports
from dev.process import ROOT, Process
from tests.support.controls import goes_red

PROGRAM = ROOT / ".run" / "bin" / "stripe-mock"
ATTEMPT = Payment(
    number=1,
    attempt_id=str(uuid4()),
    booking_id=str(uuid4()),
    event_id="show",
    zone_id="A",
    user_id="ann",
    quantity=2,
    payment_id="pm_card_visa",
    amount_minor=30_000,
    currency="THB",
    state="intent",
    reference=None,
    tries=0,
    detail=None,
    age_ms=0,
)


class StripeMock(Process):
    """stripe-mock on a loopback port of its own."""

    name = "stripe-mock"

    def command(self) -> list[str]:
        return [str(PROGRAM), "-http-addr", f"127.0.0.1:{ports.remembered(self.directory / 'port')}"]

    def prepare(self) -> None:
        ports.settle(self.directory / "port")

    def ready(self) -> bool:
        port = ports.remembered(self.directory / "port")
        return port is not None and not ports.is_free(port)


@dataclass
class Recorded:
    """The adapter's only way out. What the mock answers is bent to the state that the next call needs."""

    through: Exchange
    status: str = "requires_capture"
    finds: bool = True
    replays: bool = False
    calls: list[tuple[str, int]] = field(default_factory=list)

    def __call__(self, method: str, url: str, headers: Mapping[str, str], body: str | None, timeout_s: float) -> Answer:
        answer = self.through(method, url, headers, body, timeout_s)
        where = urlsplit(url)
        asked = dict(parse_qsl(body or where.query))
        key = headers.get("Idempotency-Key", "").replace(ATTEMPT.attempt_id, "{attempt_id}")
        path = where.path.replace(str(json.loads(answer.body).get("id")), "{id}")
        parts = [
            f"{method} {path}",
            *(f"{name}={_short(value)}" for name, value in asked.items()),
            key and f"key {key}",
        ]
        self.calls.append(("  ".join(part for part in parts if part), answer.status))
        return self._bent(method, where.path, answer)

    def _bent(self, method: str, path: str, answer: Answer) -> Answer:
        told = json.loads(answer.body)
        if told.get("object") == "payment_intent":
            told["status"] = {"capture": "succeeded", "cancel": "canceled"}.get(path.rpartition("/")[2], self.status)
        if told.get("object") in ("list", "search_result") and not self.finds:
            told["data"] = []
        headers = {**answer.headers, **({"idempotent-replayed": "true"} if self.replays and method == "POST" else {})}
        return replace(answer, headers=headers, body=json.dumps(told).encode())


def _short(value: str) -> str:
    known = {ATTEMPT.attempt_id: "{attempt_id}", ATTEMPT.booking_id: "{booking_id}"}
    for long, short in known.items():
        value = value.replace(long, short)
    return "{id}" if value.startswith("pi_") else value


@pytest.fixture(scope="module")
def mock(session_directory: Path) -> Iterator[str]:
    server = StripeMock(session_directory / "stripe-mock")
    server.start()
    server.wait_until_ready()
    yield f"http://127.0.0.1:{ports.remembered(server.directory / 'port')}"
    server.erase()


@pytest.fixture
def stripe(mock: str) -> tuple[StripePayments, Recorded]:
    adapter = StripePayments("sk_test_123", 10.0, mock)
    recorded = Recorded(adapter._exchange)
    adapter._exchange = recorded  # type: ignore[assignment]
    return adapter, recorded


CREATE = (
    "POST /v1/payment_intents  amount=30000  currency=thb  payment_method=pm_card_visa  capture_method=manual  "
    "confirm=true  error_on_requires_action=true  automatic_payment_methods[enabled]=true  "
    "automatic_payment_methods[allow_redirects]=never  metadata[attempt_id]={attempt_id}  "
    "metadata[booking_id]={booking_id}  key {attempt_id}:create"
)
RETRIEVE = "GET /v1/payment_intents/{id}"
SEARCH = "GET /v1/payment_intents/search  query=metadata['attempt_id']:'{attempt_id}'"


def test_every_call_is_as_stripe_describes_it(stripe: tuple[StripePayments, Recorded]) -> None:
    adapter, recorded = stripe
    assert adapter.capture(ATTEMPT).state == "captured"
    known = replace(ATTEMPT, reference="pi_1")
    assert adapter.status(known).state == "unknown"
    assert adapter.void(ATTEMPT).state == "voided"
    recorded.replays = True
    assert adapter.void(ATTEMPT).state == "voided"
    recorded.replays = False
    assert adapter.void(replace(ATTEMPT, age_ms=24 * 3600 * 1000)).state == "voided"
    recorded.finds = False
    assert adapter.refund(known).state in ("captured", "refunded")
    print("\n\nWhat stripe-mock was asked, and its answers:")
    for call, status in recorded.calls:
        print(f"  {status}  {call}")
    assert [call for call, _ in recorded.calls] == [
        *(CREATE, "POST /v1/payment_intents/{id}/capture  key {attempt_id}:capture"),
        RETRIEVE,
        *(CREATE, "POST /v1/payment_intents/{id}/cancel  key {attempt_id}:void"),
        *(CREATE, RETRIEVE, "POST /v1/payment_intents/{id}/cancel  key {attempt_id}:void"),
        *(SEARCH, RETRIEVE, "POST /v1/payment_intents/{id}/cancel  key {attempt_id}:void"),
        "GET /v1/refunds  payment_intent={id}  limit=100",
        "POST /v1/refunds  payment_intent={id}  metadata[attempt_id]={attempt_id}  metadata[booking_id]={booking_id}  "
        "key {attempt_id}:refund:0",
    ]
    assert {status for _, status in recorded.calls} == {200}


def test_control_a_call_that_is_not_as_stripe_describes_it_goes_red(
    stripe: tuple[StripePayments, Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, recorded = stripe
    monkeypatch.setattr("app.stores.payments.stripe._Call._names", lambda call: "no mapping")
    adapter.capture(ATTEMPT)
    with goes_red("400"):
        assert {status for _, status in recorded.calls} == {200}
