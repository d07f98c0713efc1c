"""The adapter for Stripe: what it asks, with which keys, and what it makes of each answer and of none.

Against a stand-in that keeps state; Stripe's own stand-in, which checks each call against Stripe's description of its
API, is asked by `make test-extra`."""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from app.domain.payments import Outcome, Payment
from app.stores.payments.stripe import StripePayments
from app.wiring import Wiring
from dev.redis import Redis
from tests.support.buyers import Box, at_once
from tests.support.seats import Clock, Sale, open_sale, open_shop
from tests.support.stripe_double import Stripe, stripe_double
from tests.support.till import go_on, states
from tests.support.web import serving

DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def stripe() -> Iterator[Stripe]:
    with stripe_double() as double:
        yield double


@pytest.fixture
def adapter(stripe: Stripe) -> StripePayments:
    return StripePayments("sk_test_x", 2.0, stripe.url)


def attempt(payment_id: str = "pm_card", **others: object) -> Payment:
    values: dict[str, object] = {
        **dict.fromkeys(("booking_id", "event_id", "zone_id", "user_id"), "b"),
        "number": 1,
        "attempt_id": str(uuid4()),
        "quantity": 2,
        "payment_id": payment_id,
        "amount_minor": 30_000,
        "currency": "THB",
        "state": "intent",
        "reference": None,
        "tries": 0,
        "detail": None,
        "age_ms": 0,
    }
    return Payment(**{**values, **others})  # type: ignore[arg-type]


def known(payment: Payment, outcome: Outcome) -> Payment:
    """As the next step finds it: with what the last one was told."""
    return replace(payment, reference=outcome.reference or payment.reference, state="pending")


def test_a_card_is_authorised_and_captured_under_keys_of_the_attempt(adapter: StripePayments, stripe: Stripe) -> None:
    payment = attempt()
    outcome = adapter.capture(payment)
    (intent,) = stripe.intents
    assert outcome == Outcome("captured", reference=intent)
    key = payment.attempt_id
    assert stripe.said() == [
        f"POST /payment_intents {key}:create",
        f"POST /payment_intents/{intent}/capture {key}:capture",
    ]
    form = stripe.calls[0].form
    assert {name: form[name] for name in ("amount", "currency", "capture_method", "confirm", "payment_method")} == {
        "amount": "30000",
        "currency": "thb",
        "capture_method": "manual",
        "confirm": "true",
        "payment_method": "pm_card",
    }
    assert adapter.status(known(payment, outcome)).state == "captured"


@pytest.mark.parametrize(
    ("minor", "currency", "amount"), [(300, "ISK", 30_000), (300, "MGA", 3), (300, "JPY", 300), (3_000, "KWD", 3_000)]
)
def test_amounts_are_in_stripes_own_minor_unit(
    adapter: StripePayments, stripe: Stripe, minor: int, currency: str, amount: int
) -> None:
    assert adapter.capture(attempt(amount_minor=minor, currency=currency)).state == "captured"
    assert stripe.calls[0].form["amount"] == str(amount)


def test_an_amount_that_stripe_cannot_take_is_not_asked_for(adapter: StripePayments, stripe: Stripe) -> None:
    assert adapter.capture(attempt(amount_minor=301, currency="MGA")).state == "failed"
    assert stripe.calls == []


def test_a_declined_card_says_why_and_stays_declined(adapter: StripePayments) -> None:
    payment = attempt("pm_decline")
    outcome = adapter.capture(payment)
    assert (outcome.state, outcome.detail) == ("declined", "Your card was declined.")
    assert adapter.status(known(payment, outcome)).state == "declined"
    assert adapter.void(payment).state == "declined"


def test_what_stripe_takes_for_no_payment_at_all_has_failed(adapter: StripePayments, stripe: Stripe) -> None:
    assert adapter.capture(attempt("pm_unknown")).state == "failed"
    assert stripe.intents == {}


@pytest.mark.parametrize("where", ["/payment_intents", "/capture"])
def test_a_lost_answer_is_found_again_and_nothing_is_taken_twice(
    adapter: StripePayments, stripe: Stripe, where: str
) -> None:
    payment = attempt()
    stripe.loses = where
    outcome = adapter.capture(payment)
    assert outcome.state == "pending"
    payment = known(payment, outcome)
    if (asked := adapter.status(payment)).state == "unknown":
        asked = adapter.capture(payment)
    assert asked.state == "captured"
    assert [intent["status"] for intent in stripe.intents.values()] == ["succeeded"]


def test_an_error_of_stripes_own_that_hides_an_authorisation_is_seen_through(
    adapter: StripePayments, stripe: Stripe
) -> None:
    stripe.fails = "/payment_intents"
    assert adapter.capture(attempt()).state == "captured"
    assert len(stripe.intents) == 1
    assert "GET /payment_intents/search" in stripe.said()


def test_past_the_day_for_which_keys_are_kept_it_is_looked_for_by_its_name(
    adapter: StripePayments, stripe: Stripe
) -> None:
    payment = attempt()
    stripe.loses = "/payment_intents"
    assert adapter.capture(payment).state == "pending"
    stripe.kept.clear()
    assert adapter.void(replace(payment, age_ms=DAY_MS)).state == "voided"
    assert [intent["status"] for intent in stripe.intents.values()] == ["canceled"]


def test_a_void_also_ends_what_never_came_and_a_capture_that_arrives_later_finds_it_so(
    adapter: StripePayments, stripe: Stripe
) -> None:
    payment = attempt()
    assert adapter.void(payment).state == "voided"
    assert adapter.capture(payment).state == "voided"
    assert [intent["status"] for intent in stripe.intents.values()] == ["canceled"]


def test_a_void_that_comes_too_late_says_captured(adapter: StripePayments) -> None:
    payment = attempt()
    adapter.capture(payment)
    assert adapter.void(payment).state == "captured"


def test_a_refund_that_failed_is_asked_for_anew_and_one_that_is_under_way_is_waited_for(
    adapter: StripePayments, stripe: Stripe
) -> None:
    payment = attempt()
    payment = known(payment, adapter.capture(payment))
    for stripe.refund_status in ("failed", "pending"):
        assert adapter.refund(payment).state == "captured"
    assert adapter.refund(payment).state == "captured"
    assert [call.key for call in stripe.calls if call.key and "refund" in call.key] == [
        f"{payment.attempt_id}:refund:{number}" for number in (0, 1)
    ]
    stripe.refunds[-1]["status"] = "succeeded"
    assert adapter.refund(payment) == Outcome("refunded", reference=payment.reference)
    assert len(stripe.refunds) == 2


def test_while_stripe_cannot_be_reached_or_does_not_let_us_in_nothing_is_known(stripe: Stripe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    nobody = StripePayments("sk_test_x", 2.0, url)
    for verb in (nobody.capture, nobody.void, nobody.refund):
        assert verb(attempt()).state == "pending"
    assert nobody.status(attempt(reference="pi_1")) == Outcome(
        "pending", "Stripe does not say (APIConnectionError: ConnectionRefusedError)", "pi_1"
    )


def test_a_whole_call_of_ours_is_over_in_time_however_many_of_stripes_it_takes(stripe: Stripe) -> None:
    stripe.hangs_s = 0.4
    since = time.monotonic()
    outcome = StripePayments("sk_test_x", 0.6, stripe.url).capture(attempt())
    assert (outcome.state, outcome.reference) == ("pending", next(iter(stripe.intents)))
    assert time.monotonic() - since < 2  # two answers take 0.8 s, and no answer at all would take for ever


@pytest.fixture
def shop(database: str, redis_server: Redis, clock: Clock, stripe: Stripe) -> Iterator[Wiring]:
    wiring = open_shop(
        *(database, redis_server.url, clock),
        payments="stripe",
        stripe_secret_key="sk_test_x",
        payments_url=stripe.url,
        payment_timeout_ms=1000,
    )
    yield wiring
    wiring.close()


def test_the_saga_ends_with_stripe_as_with_any_other(shop: Wiring, clock: Clock, stripe: Stripe) -> None:
    sale: Sale = open_sale(shop, clock)
    ann, bob, cid = (sale.reserve(user).booking.booking_id for user in ("ann", "bob", "cid"))
    assert shop.confirm("ann", ann, "pm_card").status == "confirmed"
    sale.refused("PAYMENT_DECLINED", shop.confirm, "bob", bob, "pm_decline")
    stripe.loses = "/capture"
    assert shop.confirm("cid", cid, "pm_card").payment_state == "pending"
    go_on(sale)
    assert shop.get("cid", cid).status == "confirmed"
    shop.cancel("ann", ann, None)
    go_on(sale)
    assert states(sale) == ["refunded", "declined", "captured"]
    assert sorted(intent["status"] for intent in stripe.intents.values()) == [
        *("requires_payment_method", "succeeded", "succeeded")
    ]
    assert len(stripe.refunds) == 1


def test_forty_customers_wait_for_a_silent_stripe_at_once_and_the_process_serves_others_meanwhile(
    session_directory: Path, shop: Wiring, clock: Clock, stripe: Stripe
) -> None:
    stripe.hangs_s = 3.0
    settings = {
        "DATABASE_URL": shop.settings.database_url,
        "REDIS_URL": shop.settings.redis_url,
        "PAYMENTS": "stripe",
        "STRIPE_SECRET_KEY": "sk_test_x",
        "PAYMENTS_URL": stripe.url,
        "PAYMENT_TIMEOUT_MS": "2000",
        "WEB_CONCURRENCY": "1",
    }
    with serving(session_directory / "web-stripe", **settings) as web:
        box = Box(web.base_url, timeout_s=30)
        event_id = box.open_event(100)
        bookings = [box.reserve(event_id, f"u{n}").body["booking_id"] for n in range(40)]
        served: list[int] = []
        over = threading.Event()

        def visit() -> None:
            while not over.is_set():
                served.append(box.call("GET", f"/events/{event_id}/zones/A").status)

        visitor = threading.Thread(target=visit)
        visitor.start()
        since = time.monotonic()
        answers = at_once(lambda n: box.confirm(bookings[n], f"u{n}", payment_id="pm_card"), 40)
        took = time.monotonic() - since
        over.set()
        visitor.join()
    assert {answer.status for answer in answers} == {202}
    assert took < 40  # one after the other they would take eighty seconds
    assert set(served) == {200}
    assert len(served) >= 3  # a process that waited for Stripe would serve nobody
    logging.info("served %d while waiting %.1f s", len(served), took)
