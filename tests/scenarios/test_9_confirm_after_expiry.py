"""Scenario 9. Who confirms after the deadline is told that the reservation has expired, and may reserve anew. Where a
confirm and the expiry meet, one of them wins, and both stores know which."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from random import Random
from threading import Semaphore

import pytest

from tests.scenarios.conftest import Altered
from tests.support.buyers import Answer, Box, until
from tests.support.controls import goes_red
from tests.support.system import System, assert_seats_are_conserved

NO_DEADLINE = ("confirm", "if r.deadline <= now then", "if false then")
RACES, CLIENTS, MARGIN_S, STEP_S = 1000, 200, 0.05, 0.002


def _confirmed_late(box: Box, event_id: str) -> Answer:
    """The answer to a confirm half a second after the deadline."""
    reserved = box.reserve(event_id, "ann", 2).body
    time.sleep(max(0.0, _moment(reserved) - time.time()) + 0.5)
    return box.confirm(reserved["booking_id"], "ann")


def _is_refused(answer: Answer) -> None:
    assert answer.status == 404, f"confirmed after its deadline: {answer.status}"
    assert (answer.body["code"], answer.body["reason"]) == ("RESERVATION_NOT_FOUND", "expired")


def _moment(reserved: dict[str, str]) -> float:
    return datetime.fromisoformat(reserved["expires_at"]).timestamp()


def test_it_is_refused_and_a_new_reservation_works(system: System, box: Box) -> None:
    event_id = box.open_event(2, hold_seconds=1)
    _is_refused(_confirmed_late(box, event_id))
    again = box.reserve(event_id, "ann", 2)
    assert again.status == 201
    assert box.confirm(again.body["booking_id"], "ann").status == 200
    assert_seats_are_conserved(system, event_id)


def test_a_thousand_confirms_that_meet_the_deadline(system: System, box: Box) -> None:
    """With the sweeper at work, and reserves that reclaim."""
    event_id = box.open_event(RACES, hold_seconds=1)
    chance, lead, few = Random(9), [0.0], Semaphore(8)

    def race(number: int) -> tuple[str, Answer]:
        with few:  # a crowd of reserves would keep the confirms waiting for longer than a second
            reserved = box.reserve(event_id, f"user-{number}").body
        until_then = _moment(reserved) - time.time() - lead[0]
        time.sleep(max(0.0, until_then + chance.uniform(-MARGIN_S, MARGIN_S)))
        answer = box.confirm(reserved["booking_id"], f"user-{number}")
        # Whoever loses lets others set off earlier: both win about as often, however busy the machine is.
        lead[0] = min(0.9, max(0.0, lead[0] + (STEP_S if answer.status == 404 else -STEP_S)))
        return reserved["booking_id"], answer

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = dict(pool.map(race, range(RACES)))
    outcomes = Counter(answer.status for answer in answers.values())
    print(dict(outcomes))
    assert outcomes.keys() == {200, 404}, outcomes
    said = {booking: {200: "confirmed", 404: "expired"}[answer.status] for booking, answer in answers.items()}
    until(lambda: _recorded(system, event_id) == said, 20, "Postgres knows the winners")
    seats = box.seats(event_id)
    assert (seats["confirmed"], seats["held"]) == (outcomes[200], 0)
    assert_seats_are_conserved(system, event_id)


def _recorded(system: System, event_id: str) -> dict[str, str]:
    query = "SELECT booking_id::text, status FROM booking.bookings WHERE event_id = %s"
    return dict(system.shop.postgres.rows(query, [event_id]))


@pytest.mark.usefixtures("worker_is_back")
def test_control_a_confirm_that_does_not_look_at_the_deadline_goes_red(
    system: System, box: Box, altered: Altered
) -> None:
    event_id = box.open_event(2, hold_seconds=1)
    system.stack.worker.kill()
    with altered(NO_DEADLINE) as timeless, goes_red("confirmed after its deadline: 200"):
        _is_refused(_confirmed_late(timeless, event_id))
