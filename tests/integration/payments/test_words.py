"""What providers tell by themselves, over HTTP: written down once, and no more than a hint to ask."""

import base64
import json
import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from standardwebhooks import Webhook
from stripe import WebhookSignature
from werkzeug.test import TestResponse

from app.domain.errors import Refusal
from app.factory import create_app
from app.wiring import Wiring
from dev.postgres import Postgres
from dev.provider import Provider
from tests.integration.api.conftest import Api
from tests.support.buyers import until
from tests.support.controls import goes_red
from tests.support.seats import Sale
from tests.support.till import disagreements, go_on, pay_of, states, steps

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes, ok").decode()
OF_STRIPE = "whsec_of_stripe"


@pytest.fixture(scope="module")
def app(shop: Wiring) -> Iterator[Flask]:
    root = logging.getLogger()
    level = root.level
    app = create_app(replace(shop.settings, payments_webhook_secret=SECRET, stripe_webhook_secret=OF_STRIPE))
    app.extensions["holdfast.start"]()
    yield app
    app.extensions["holdfast"].close()
    root.handlers = [handler for handler in root.handlers if handler.get_name() != "holdfast"]
    root.setLevel(level)


@dataclass
class Teller:
    """A provider's way in."""

    app: Flask
    secret: str = SECRET
    at: float = 0

    def tell(
        self, attempt_id: str, kind: str = "payment.succeeded", message_id: str = "", **changed: str
    ) -> TestResponse:
        body = json.dumps({"type": kind, "data": {"attempt_id": attempt_id}})
        message_id = message_id or f"msg_{uuid.uuid4().hex}"
        at = self.at or time.time()
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at)),
            "webhook-signature": Webhook(self.secret).sign(message_id, datetime.fromtimestamp(int(at), UTC), body),
            "Content-Type": "application/json",
        }
        body = changed.pop("body", body)
        sent = {name: value for name, value in (headers | changed).items() if value}
        return self.app.test_client().post("/webhooks/payments", data=body, headers=sent)


@pytest.fixture
def teller(app: Flask) -> Teller:
    return Teller(app)


def _attempt(sale: Sale, booking_id: str) -> str:
    ((payment, _),) = pay_of(sale).payments.get_payments(booking_id)
    return payment.attempt_id


def _inbox(sale: Sale) -> list[Any]:
    return sale.rows("SELECT source, message_id, type, payment_no IS NULL FROM booking.payment_inbox ORDER BY inbox_id")


def test_a_word_is_written_down_once_and_has_the_provider_asked_at_once(
    sale: Sale, teller: Teller, provider: Provider
) -> None:
    booking_id = sale.reserve().booking.booking_id
    sale.shop.confirm("ann", booking_id, "lose-answer-1")
    attempt_id = _attempt(sale, booking_id)
    pay = replace(pay_of(sale), jitter=lambda: 600.0)  # not to be asked about for minutes
    (payment,) = pay.payments.list_payments(["pending"], None, 1)
    pay.payments.put_off_payment(payment, 600_000, None, None)
    assert pay.claim(9) == []
    answers = [teller.tell(attempt_id, message_id="msg_1") for _ in range(3)]
    assert [(a.status_code, a.json) for a in answers] == [
        (200, {"status": "received"}),
        (200, {"status": "known"}),
        (200, {"status": "known"}),
    ]
    assert ("payments", "msg_1", "payment.succeeded", False) in _inbox(sale)
    go_on(sale)
    assert sale.shop.get("ann", booking_id).status == "confirmed"
    assert disagreements(sale, provider) == []


def _answers(sale: Sale) -> bool:
    try:
        return bool(sale.rows("SELECT 1"))
    except Refusal:
        return False


def test_while_postgres_is_away_a_word_is_not_taken_and_is_told_again(
    sale: Sale, teller: Teller, postgres: Postgres
) -> None:
    attempt_id, message_id = str(uuid.uuid4()), f"msg_{uuid.uuid4().hex}"
    postgres.kill()
    try:
        assert teller.tell(attempt_id, message_id=message_id).status_code == 503
    finally:
        postgres.start()
        postgres.wait_until_ready()
    until(lambda: teller.tell(attempt_id, message_id=message_id).status_code == 200, 30, "it is taken")
    until(lambda: all(_answers(sale) for _ in range(10)), 30, "no connection of before is left in the pool")
    assert message_id in [row[1] for row in _inbox(sale)]


def test_what_is_not_signed_by_the_secret_in_time_and_whole_is_refused_and_leaves_nothing(
    sale: Sale, teller: Teller
) -> None:
    booking_id = sale.reserve().booking.booking_id
    sale.shop.confirm("ann", booking_id, "approve-1")
    before, attempt_id = _inbox(sale), _attempt(sale, booking_id)
    other = "whsec_" + base64.b64encode(b"another secret of thirty-two byt").decode()
    forged = [
        replace(teller, secret=other).tell(attempt_id),
        replace(teller, at=time.time() - 600).tell(attempt_id),
        replace(teller, at=time.time() + 600).tell(attempt_id),
        teller.tell(attempt_id, body='{"type": "payment.failed"}'),
        teller.tell(attempt_id, body="\udcff".encode("utf-8", "surrogateescape").decode("latin-1")),
        *(teller.tell(attempt_id, **{name: ""}) for name in ("webhook-id", "webhook-timestamp", "webhook-signature")),
        *(teller.tell(attempt_id, **{"webhook-signature": text}) for text in ("v1", "v1,%", "v2,abcd", "v1a,YQ==")),
    ]
    assert [answer.status_code for answer in forged] == [401] * len(forged)
    assert _inbox(sale) == before
    assert states(sale) == ["captured"]


def test_control_a_teller_whose_signature_is_not_looked_at_goes_red(
    sale: Sale, teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("standardwebhooks.Webhook.verify", lambda *_, **__: None)
    with goes_red("forged"):
        assert teller.tell(str(uuid.uuid4()), **{"webhook-signature": "v1,%"}).status_code == 401, "forged"


def _stripe_tells(app: Flask, about: object, secret: str = OF_STRIPE, age_s: float = 0, **changed: str) -> TestResponse:
    event = {"id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "data": {"object": about}}
    body = json.dumps(event)
    signature = WebhookSignature.generate_signature_header(body, secret, int(time.time() - age_s))
    sent = {"stripe-signature": signature, "Content-Type": "application/json"}
    body = changed.pop("body", body)
    headers = {name: value for name, value in (sent | changed).items() if value}
    return app.test_client().post("/webhooks/stripe", data=body, headers=headers)


def test_stripes_word_is_written_down_once_and_names_the_payment_by_its_intent_or_by_our_key(
    sale: Sale, app: Flask, provider: Provider
) -> None:
    booking_id = sale.reserve().booking.booking_id
    sale.shop.confirm("ann", booking_id, "lose-answer-1")
    pay = replace(pay_of(sale), jitter=lambda: 600.0)
    (payment,) = pay.payments.list_payments(["pending"], None, 1)
    pay.payments.put_off_payment(payment, 600_000, None, "pi_77")
    intent = {"object": "payment_intent", "id": "pi_77"}
    answers = [_stripe_tells(app, intent) for _ in range(2)]
    assert [(a.status_code, a.json) for a in answers] == [(200, {"status": "received"}), (200, {"status": "known"})]
    assert _inbox(sale)[-1] == ("stripe", "evt_1", "payment_intent.succeeded", False)
    go_on(sale)
    assert sale.shop.get("ann", booking_id).status == "confirmed"
    named = {"object": "charge", "metadata": {"attempt_id": payment.attempt_id}, "payment_intent": "pi_of_others"}
    body = json.dumps({"id": "evt_2", "type": "charge.succeeded", "data": {"object": named}})
    signature = WebhookSignature.generate_signature_header(body, OF_STRIPE)
    assert _stripe_tells(app, None, body=body, **{"stripe-signature": signature}).status_code == 200
    assert _inbox(sale)[-1] == ("stripe", "evt_2", "charge.succeeded", False)
    assert disagreements(sale, provider) == []


def test_what_stripe_did_not_sign_in_time_and_whole_is_refused_and_leaves_nothing(sale: Sale, app: Flask) -> None:
    before, about = _inbox(sale), {"object": "payment_intent", "id": "pi_1"}
    forged = [
        _stripe_tells(app, about, secret="whsec_other"),
        _stripe_tells(app, about, age_s=301),
        _stripe_tells(app, about, body='{"id": "evt_9", "type": "payment_intent.succeeded"}'),
        *(_stripe_tells(app, about, **{"stripe-signature": text}) for text in ("", "t=1", "t=x,v1=y", "v1=\xe9,t=1")),
    ]
    assert [answer.status_code for answer in forged] == [401] * len(forged)
    assert _inbox(sale) == before


def test_a_word_that_is_no_object_or_cannot_be_kept_is_malformed(teller: Teller) -> None:
    deep = f'{{"type": {"[" * 900}{"]" * 900}}}'
    bodies = (
        "[]",
        "no json",
        '{"type": "\\u0000"}',
        '{"a": NaN}',
        '{"a": 1e400}',
        '{"a": "\\ud800"}',
        deep,
        "[" * 60_000,
    )
    for body, message_id in [*((body, "msg_x") for body in bodies), ("{}", "x" * 201)]:
        at = int(time.time())
        signature = Webhook(SECRET).sign(message_id, datetime.fromtimestamp(at, UTC), body)
        answer = teller.tell(
            "",
            message_id=message_id,
            body=body,
            **{"webhook-timestamp": str(at), "webhook-signature": signature},
        )
        assert (answer.status_code, answer.json and answer.json["code"]) == (400, "MALFORMED_REQUEST")


def test_a_word_about_a_payment_that_is_none_of_ours_changes_nothing(sale: Sale, teller: Teller) -> None:
    for attempt_id in (str(uuid.uuid4()), "no uuid"):
        assert teller.tell(attempt_id).status_code == 200
    assert _inbox(sale)[-1][3]


def test_a_false_word_that_a_captured_payment_failed_changes_nothing(
    sale: Sale, teller: Teller, provider: Provider
) -> None:
    booking_id = sale.reserve().booking.booking_id
    sale.shop.confirm("ann", booking_id, "approve-1")
    for kind in ("payment.failed", "payment.succeeded", "something.else"):
        assert teller.tell(_attempt(sale, booking_id), kind).status_code == 200
    go_on(sale)
    assert steps(sale, booking_id) == [["intent", "captured"]]
    assert disagreements(sale, provider) == []


def test_a_late_word_of_success_for_a_payment_that_was_closed_makes_sure(
    sale: Sale, teller: Teller, provider: Provider
) -> None:
    booking_id = sale.reserve().booking.booking_id
    sale.refused("PAYMENT_DECLINED", sale.shop.confirm, "ann", booking_id, "decline-1")
    teller.tell(_attempt(sale, booking_id))
    go_on(sale)
    assert steps(sale, booking_id) == [["intent", "declined", "voiding", "declined"]]
    assert disagreements(sale, provider) == []


def test_money_that_was_thought_not_to_be_there_becomes_a_ticket_when_a_word_of_it_comes(
    sale: Sale, teller: Teller, provider: Provider
) -> None:
    booking_id = sale.reserve().booking.booking_id
    pin = sale.shop.reservations.confirm(booking_id, "ann", "approve-1")
    pay = pay_of(sale)
    payment = pay.payments.open_payment(pin, 0).payment
    assert payment
    assert pay.provider.capture(payment).state == "captured"
    pay.payments.void_pin(payment, pin, "failed", "a mistake", None)
    sale.shop.reservations.unpin(booking_id, pin.number)
    assert disagreements(sale, provider)
    teller.tell(payment.attempt_id)
    go_on(sale)
    assert sale.shop.get("ann", booking_id).status == "confirmed"
    assert disagreements(sale, provider) == []


def test_over_http_202_says_pending_402_says_why_and_history_has_every_step(app: Flask, sale: Sale) -> None:
    api = Api(app)
    booking_id = sale.reserve().booking.booking_id
    declined = api.ask("POST", f"/bookings/{booking_id}/confirm", {"payment_id": "decline-1"})
    assert (declined.status_code, declined.json["code"]) == (402, "PAYMENT_DECLINED")
    assert declined.json["detail"] == "insufficient funds"
    pending = api.ask("POST", f"/bookings/{booking_id}/confirm", {"payment_id": "lose-answer-1"})
    assert (pending.status_code, pending.json["status"], pending.json["payment"]) == (
        202,
        "reserved",
        {"state": "pending"},
    )
    assert api.ask("POST", f"/bookings/{booking_id}/confirm", {"payment_id": "lose-answer-1"}).status_code == 200
    assert api.ask("GET", f"/bookings/{booking_id}").json["payment"] == {"state": "captured"}
    payments = api.ask("GET", f"/bookings/{booking_id}/history").json["payments"]
    assert [(p["payment_id"], p["amount"], [s["state"] for s in p["steps"]]) for p in payments] == [
        ("decline-1", "150.00", ["intent", "declined"]),
        ("lose-answer-1", "150.00", ["intent", "pending", "captured"]),
    ]
    missing = api.ask("POST", f"/bookings/{sale.reserve().booking.booking_id}/confirm")
    assert (missing.status_code, list(missing.json["errors"])) == (422, ["payment_id"])
