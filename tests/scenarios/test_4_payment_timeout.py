"""Scenario 4. The provider does not answer in time: the customer is told that it is pending, somebody asks until it is
known, and then there is a ticket, or the seats are on sale again and no money was kept. Nothing is stuck, whoever
dies."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from dev.gunicorn import Gunicorn
from dev.provider import Provider
from dev.proxy import Kind, Proxy
from dev.worker import Worker
from tests.support.buyers import Answer, Box
from tests.support.controls import goes_red
from tests.support.system import System, assert_seats_are_conserved

CAPACITY, QUANTITY, HOLD_SECONDS = 10, 2, 3


@dataclass
class Till:
    """A web process that asks for money, over a bad line to the provider, and the saga's worker."""

    box: Box
    web: Gunicorn
    saga: Worker
    provider: Provider
    line: Proxy

    def reserve(self, hold_seconds: int = 600) -> tuple[str, str]:
        """An event of its own, and a reservation."""
        event_id = self.box.open_event(CAPACITY, hold_seconds=hold_seconds, hold_seconds_max=hold_seconds)
        return event_id, self.box.reserve(event_id, "ann", QUANTITY).body["booking_id"]

    def becomes(self, booking_id: str, status: str, payment: str, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while (seen := self._state(booking_id)) != (status, payment):
            assert time.monotonic() < deadline, f"after {seconds} s still {seen}"
            time.sleep(0.1)

    def _state(self, booking_id: str) -> tuple[str | None, str | None]:
        body = self.box.call("GET", f"/bookings/{booking_id}", "ann").body
        return body.get("status"), body.get("payment", {}).get("state")

    def taken(self, booking_id: str) -> int:
        """How often the provider has the money for it."""
        return sum(a.state == "captured" for a in self.provider.attempts() if a.booking_id == booking_id)


@pytest.fixture(scope="module")
def till(system: System) -> Iterator[Till]:
    """On the same stores as the running system, whose own processes go on sweeping and recording."""
    directory = system.stack.directory
    provider = Provider(directory / "provider", {"PROVIDER_KNOWN_AFTER_S": "1", "PROVIDER_HANGS_S": "2"})
    provider.start()
    provider.wait_until_ready()
    with Proxy(int(provider.url.rpartition(":")[2])) as line:
        settings = {
            **system.stack.settings,
            "PAYMENTS": "http",
            "PAYMENTS_URL": f"http://127.0.0.1:{line.port}",
            "PAYMENT_TIMEOUT_MS": "300",
            "PAYMENT_BOUND_SECONDS": "4",
            "WEB_CONCURRENCY": "1",
        }
        web = Gunicorn(directory / "web-paying", settings)
        saga = Worker(directory / "worker-paying", settings, ["saga"])
        web.start()
        saga.start()
        web.wait_until_ready()
        yield Till(Box(web.base_url), web, saga, provider, line)
        saga.stop()
        web.stop()
    provider.stop()


def _is_pending(answer: Answer) -> None:
    assert (answer.status, answer.body["status"], answer.body["payment"]["state"]) == (202, "reserved", "pending")


def _is_paid_once(system: System, till: Till, event_id: str, booking_id: str, card: str) -> None:
    till.becomes(booking_id, "confirmed", "captured", seconds=40)  # a saga killed in its step leaves a lease of 15 s
    again = till.box.confirm(booking_id, "ann", payment_id=card)
    assert (again.status, again.body["status"]) == (200, "confirmed")
    assert till.taken(booking_id) == 1
    assert till.box.seats(event_id)["confirmed"] == QUANTITY
    assert_seats_are_conserved(system, event_id)


@pytest.mark.parametrize("kind", ["swallow answer", "cut answer", "hold answer"])
def test_an_answer_that_is_lost_or_late_is_asked_for_until_it_is_known(system: System, till: Till, kind: Kind) -> None:
    event_id, booking_id = till.reserve()
    fault = till.line.meet(b"PUT /payments", kind)
    _is_pending(till.box.confirm(booking_id, "ann", payment_id=f"card-{kind[:3]}"))
    fault.release()
    _is_paid_once(system, till, event_id, booking_id, f"card-{kind[:3]}")


def test_a_line_that_is_slower_than_we_wait(system: System, till: Till) -> None:
    event_id, booking_id = till.reserve()
    till.line.delay_s = 0.5
    _is_pending(till.box.confirm(booking_id, "ann", payment_id="card-slow"))
    till.line.delay_s = 0.0
    _is_paid_once(system, till, event_id, booking_id, "card-slow")


def test_declined_after_we_gave_up_waiting_the_seats_are_on_sale_again(system: System, till: Till) -> None:
    event_id, booking_id = till.reserve(HOLD_SECONDS)
    _is_pending(till.box.confirm(booking_id, "ann", payment_id="timeout-then-fail-1"))
    till.becomes(booking_id, "expired", "declined")
    assert (till.taken(booking_id), till.box.seats(event_id)["available"]) == (0, CAPACITY)
    assert_seats_are_conserved(system, event_id)


def test_never_known_it_is_voided_and_the_seats_are_on_sale_again(system: System, till: Till) -> None:
    event_id, booking_id = till.reserve(HOLD_SECONDS)
    _is_pending(till.box.confirm(booking_id, "ann", payment_id="hang-1"))
    assert till.box.call("DELETE", f"/bookings/{booking_id}", "ann").body["code"] == "CONFIRMATION_IN_PROGRESS"
    till.becomes(booking_id, "expired", "voided")
    assert (till.taken(booking_id), till.box.seats(event_id)["available"]) == (0, CAPACITY)
    assert_seats_are_conserved(system, event_id)


def test_web_and_worker_killed_while_it_is_pending(system: System, till: Till) -> None:
    event_id, booking_id = till.reserve()
    _is_pending(till.box.confirm(booking_id, "ann", payment_id="timeout-then-succeed-1"))
    for process in (till.saga, till.web):
        process.kill()
        process.start()
    till.web.wait_until_ready()
    _is_paid_once(system, till, event_id, booking_id, "timeout-then-succeed-1")


def test_control_where_nobody_asks_it_is_stuck(system: System, till: Till) -> None:
    event_id, booking_id = till.reserve()
    till.saga.stop()
    try:
        _is_pending(till.box.confirm(booking_id, "ann", payment_id="timeout-then-succeed-2"))
        with goes_red(r"after 3 s still \('reserved', 'pending'\)"):
            till.becomes(booking_id, "confirmed", "captured", seconds=3)
    finally:
        till.saga.start()
    _is_paid_once(system, till, event_id, booking_id, "timeout-then-succeed-2")
