"""Scenario 3. A hundred, and a thousand, race for the last seat: one gets it, everybody else is told so, and no count
ever goes below zero."""

import time
from collections import Counter
from collections.abc import Callable

import pytest
import redis

from tests.support.buyers import Answer, Box, at_once, until
from tests.support.controls import goes_red
from tests.support.system import System, assert_seats_are_conserved


def _has_one_winner(race: Callable[[int], Answer], clients: int) -> None:
    answers = at_once(race, clients)
    outcomes = Counter((answer.status, answer.body.get("code")) for answer in answers)
    winners = outcomes.pop((201, None), 0)
    assert winners == 1, f"{winners} have won one seat"
    assert outcomes == {(409, "INSUFFICIENT_SEATS"): clients - 1}


@pytest.mark.parametrize("clients", [100, 1000])
def test_the_last_seat_is_sold_once(system: System, clients: int) -> None:
    box = Box(system.stack.base_url, timeout_s=30)
    event_id = box.open_event(1)

    def reserve(number: int) -> Answer:
        answer = box.reserve(event_id, f"user-{number}")
        if clients > 100 and answer.status == 503:  # a small machine may be too busy for a thousand: it says so
            return until(lambda: (a := box.reserve(event_id, f"user-{number}")).status != 503 and a, 10, "an answer")
        return answer

    _has_one_winner(reserve, clients)
    seats = box.seats(event_id)
    assert (seats["available"], seats["held"], seats["confirmed"]) == (0, 1, 0)
    assert_seats_are_conserved(system, event_id)


def test_control_who_first_reads_and_then_writes_goes_red(system: System) -> None:
    key = "of-a-test:naive:available"
    with redis.Redis.from_url(system.stack.redis.url, max_connections=200) as naive:
        naive.set(key, 1)

        at_once(lambda _: Answer(200 if naive.ping() else 0, {}, {}, 0), 100)  # everybody is connected

        def read_then_write(_: int) -> Answer:
            if (available := int(naive.get(key))) < 1:  # type: ignore[arg-type]
                return Answer(409, {"code": "INSUFFICIENT_SEATS"}, {}, 0)
            time.sleep(0.001)  # what a web process does in between
            naive.set(key, available - 1)
            return Answer(201, {}, {}, 0)

        with goes_red(r"\d+ have won one seat"):
            _has_one_winner(read_then_write, 100)
        naive.delete(key)
