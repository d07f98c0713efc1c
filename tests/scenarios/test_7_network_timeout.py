"""Scenario 7. The network swallows an answer, cuts it off, or is slower than the client waits: the client asks again
under the same key, and whatever became of the first request, it has one reservation."""

from collections.abc import Iterator

import pytest

from dev.proxy import Kind, Proxy
from tests.scenarios.conftest import Altered
from tests.support.buyers import Answer, Box, until
from tests.support.controls import goes_red
from tests.support.system import System, assert_seats_are_conserved

FORGETFUL = ("reserve", "if first then", "if false then")
PATIENCE_S, SLOW_S, QUANTITY = 0.6, 1.0, 2


@pytest.fixture
def line(box: Box) -> Iterator[Proxy]:
    yield from _line(box)


def _line(box: Box) -> Iterator[Proxy]:
    with Proxy(int(box.base_url.rpartition(":")[2])) as proxy:
        yield proxy


def _impatient(line: Proxy) -> Box:
    return Box(f"http://127.0.0.1:{line.port}", timeout_s=PATIENCE_S)


def _reserve(box: Box, event_id: str) -> Answer:
    return box.reserve(event_id, "ann", QUANTITY, idempotency_key="k")


def _loses_an_answer(line: Proxy, event_id: str, kind: Kind) -> Answer:
    """The first request gets no answer, though it is carried out; the retry's answer."""
    fault = line.meet(b"/bookings/reserve", kind)
    lost = _reserve(_impatient(line), event_id)
    fault.wait()
    assert lost.status == 0
    return _reserve(_impatient(line), event_id)


def _has_one_reservation(box: Box, event_id: str, retry: Answer) -> None:
    assert (retry.status, retry.body.get("quantity")) == (201, QUANTITY)
    held = box.seats(event_id)["held"]
    assert held == QUANTITY, f"{held} seats are held for a request of {QUANTITY}"
    assert retry.headers.get("idempotency-replayed") == "true"


@pytest.mark.parametrize("kind", ["swallow answer", "cut answer"])
def test_an_answer_that_is_lost(system: System, box: Box, line: Proxy, kind: Kind) -> None:
    event_id = box.open_event(10)
    _has_one_reservation(box, event_id, _loses_an_answer(line, event_id, kind))
    assert_seats_are_conserved(system, event_id)


def test_a_request_that_arrives_after_its_retry(system: System, box: Box, line: Proxy) -> None:
    event_id = box.open_event(10)
    fault = line.meet(b"/bookings/reserve", "hold request")
    assert _reserve(_impatient(line), event_id).status == 0
    fault.wait()
    retry = _reserve(box, event_id)
    fault.release()
    until(lambda: _reserve(box, event_id).body["booking_id"] == retry.body["booking_id"], 2, "the same")
    assert box.seats(event_id)["held"] == QUANTITY
    assert_seats_are_conserved(system, event_id)


def test_a_line_that_is_slower_than_the_client_waits(system: System, box: Box, line: Proxy) -> None:
    event_id = box.open_event(10)
    line.delay_s = SLOW_S
    impatient = _impatient(line)
    assert [_reserve(impatient, event_id).status for _ in range(3)] == [0, 0, 0]
    line.delay_s = 0.0
    until(lambda: box.seats(event_id)["held"], 5, "what was sent has arrived")
    _has_one_reservation(box, event_id, _reserve(impatient, event_id))
    assert_seats_are_conserved(system, event_id)


def test_control_without_a_record_of_the_key_it_goes_red(box: Box, altered: Altered) -> None:
    event_id = box.open_event(10)
    with altered(FORGETFUL) as forgetful, goes_red("4 seats are held for a request of 2"):
        for line in _line(forgetful):
            _has_one_reservation(box, event_id, _loses_an_answer(line, event_id, "swallow answer"))
