"""Scenario 8. Seats that are given back twice come back once: the first release is answered 200, every other 404, and
the seats are credited by the first alone, also where twenty come at once."""

from tests.scenarios.conftest import Altered
from tests.support.buyers import Answer, Box, at_once, statuses
from tests.support.controls import goes_red
from tests.support.system import System, assert_seats_are_conserved

CREDITS_ALWAYS = ("release", "local no = refused(r, ARGV[4])", "local no = nil")
CAPACITY, QUANTITY = 10, 3


def _releases(box: Box, event_id: str, times: int) -> list[Answer]:
    """Of one of two reservations, all at once where there are several."""
    assert box.reserve(event_id, "bob", QUANTITY).status == 201
    booking_id = box.reserve(event_id, "ann", QUANTITY).body["booking_id"]
    return at_once(lambda _: box.call("DELETE", f"/bookings/{booking_id}", "ann"), times)


def _is_credited_once(box: Box, event_id: str, answers: list[Answer]) -> None:
    seats = box.seats(event_id)
    assert (seats["held"], seats["available"]) == (QUANTITY, CAPACITY - QUANTITY), f"credited again: {seats}"
    assert statuses(answers) == {200: 1, 404: len(answers) - 1}
    assert {(a.body["code"], a.body["reason"]) for a in answers if a.status == 404} == {
        ("RESERVATION_NOT_FOUND", "released")
    }


def test_a_second_release_finds_nothing(system: System, box: Box) -> None:
    event_id = box.open_event(CAPACITY)
    booking_id = box.reserve(event_id, "ann", QUANTITY).body["booking_id"]
    box.reserve(event_id, "bob", QUANTITY)
    answers = [box.call("POST", f"/bookings/{booking_id}/release", "ann") for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 404]
    _is_credited_once(box, event_id, answers)
    assert_seats_are_conserved(system, event_id)


def test_twenty_releases_at_once_credit_once(system: System, box: Box) -> None:
    event_id = box.open_event(CAPACITY)
    _is_credited_once(box, event_id, _releases(box, event_id, 20))
    assert_seats_are_conserved(system, event_id)


def test_control_a_release_that_does_not_look_goes_red(system: System, box: Box, altered: Altered) -> None:
    event_id = box.open_event(CAPACITY)
    with altered(CREDITS_ALWAYS) as careless, goes_red("credited again"):
        _is_credited_once(box, event_id, _releases(careless, event_id, 2))
    assert not system.shop.reconcile(event_id, repair=True).findings  # and nothing of it stays behind
