"""`flask ops payments`, as an operator types it."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from app.wiring import Wiring
from dev.provider import Provider
from tests.support import servers
from tests.support.seats import Sale
from tests.support.till import disagreements, pay_of, states

Ops = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def ops(shop: Wiring, provider: Provider) -> Ops:
    """`ops("list")`."""
    told = {
        "DATABASE_URL": shop.settings.database_url,
        "REDIS_URL": shop.settings.redis_url,
        "AUTH_MODE": "gateway",
        "ADMIN_TOKEN": "admin-token-of-the-tests",
        "PAYMENTS": "http",
        "PAYMENTS_URL": provider.url,
    }
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "ops", "payments"]
    return lambda *arguments: subprocess.run(
        [*command, *arguments], env=dict(servers.environment(**told)), capture_output=True, text=True, timeout=60
    )


def _number(sale: Sale, booking_id: str) -> str:
    ((payment, _),) = pay_of(sale).payments.get_payments(booking_id)
    return str(payment.number)


def _listed(ops: Ops, *arguments: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(ops("list", "--json", *arguments).stdout)
    return listed


def test_what_is_not_over_is_listed_asked_about_and_paid_back(sale: Sale, ops: Ops, provider: Provider) -> None:
    booking_id = sale.reserve().booking.booking_id
    sale.shop.confirm("ann", booking_id, "lose-answer-1")
    number = _number(sale, booking_id)
    assert [(str(p["number"]), p["state"], p["booking_id"]) for p in _listed(ops)] == [(number, "pending", booking_id)]
    assert booking_id in ops("list").stdout
    assert ops("ask", number).stdout == f"payment {number}: pending, now captured\n"
    assert sale.shop.get("ann", booking_id).status == "confirmed"
    assert _listed(ops) == []
    assert ops("ask", number).stdout == f"payment {number} is captured; the provider says: captured\n"
    assert ops("refund", number, "--yes").stdout.startswith(f"payment {number}: refunding, now refunded")
    assert sale.shop.get("ann", booking_id).status == "cancelled"
    assert "refunding  the booking was cancelled" in ops("show", number).stdout
    assert disagreements(sale, provider) == []


def test_a_refund_is_not_done_unasked_and_an_unknown_number_is_one_sentence(sale: Sale, ops: Ops) -> None:
    booking_id = sale.reserve().booking.booking_id
    sale.shop.confirm("ann", booking_id, "approve-1")
    assert ops("refund", _number(sale, booking_id)).returncode == 1
    assert states(sale) == ["captured"]
    for verb in (("ask", "999999"), ("show", "999999"), ("refund", "999999", "--yes")):
        done = ops(*verb)
        assert (done.returncode, done.stderr) == (1, "Error: There is no payment 999999.\n")
