"""Scenario 6. Redis dies, hangs or comes back empty while people buy: each is told 503 and when to come again within a
second or so, nobody gets half a reservation, and ten seconds after its return it sells again by itself."""

import time
from collections.abc import Callable
from typing import Final

import pytest
import redis

from dev.redis import Redis
from tests.scenarios.conftest import Altered
from tests.support.buyers import Box, Crowd, statuses, until
from tests.support.controls import goes_red
from tests.support.system import System, assert_seats_are_conserved

pytestmark = pytest.mark.timeout(120)
RATE, CAPACITY = 60, 10_000
ANSWERED_WITHIN_S, SELLS_WITHIN_S = 1.5, 10
"""A second, and what a busy machine needs to notice."""
GUESSES = ("reserve", '{ "SERVICE_UNAVAILABLE", "closed" }', '{ "INSUFFICIENT_SEATS", 0 }')


def _killed(server: Redis) -> None:
    server.kill()
    time.sleep(1)
    server.start()
    server.wait_until_ready()


def _paused(server: Redis) -> None:
    server.pause()
    time.sleep(1.5)
    server.resume()


def _emptied(server: Redis) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()


FAULTS: Final[dict[str, Callable[[Redis], None]]] = {"killed": _killed, "paused": _paused, "emptied": _emptied}


def _buy_through(system: System, box: Box, strike: Callable[[Redis], None]) -> str:
    """Customers buy at `box` all the while; answers the event."""
    event_id = system.box.open_event(CAPACITY, max_per_user=2)

    def reserve(number: int) -> object:
        return box.reserve(event_id, f"user-{number}", idempotency_key=f"k{number}")

    with Crowd(reserve, RATE) as crowd:  # type: ignore[arg-type]
        time.sleep(0.5)
        strike(system.stack.redis)
        returned = time.monotonic()
        until(lambda: any(a.status == 201 for a in crowd.since(returned)), SELLS_WITHIN_S, "it sells again")
        time.sleep(0.5)
    answers = [answer for _, answer in crowd.answers]
    guesses = {answer.body.get("code") for answer in answers if answer.status not in (201, 503)}
    assert not guesses, f"a guess instead of 503: {guesses}"
    refused = [answer for answer in answers if answer.status == 503]
    assert refused, "nobody noticed"
    assert all("retry-after" in answer.headers for answer in refused)
    slowest = max(answer.seconds for answer in refused)
    assert slowest < ANSWERED_WITHIN_S, f"a 503 took {slowest:.1f} s"
    print(f"{statuses(answers)}, slowest 503: {slowest:.2f} s")

    # Whoever was refused asks again under the same key, and so does whoever was not: nobody has more than one.
    for number in range(len(answers)):
        again = until(lambda n=number: (a := reserve(n)).status == 201 and a, 5, "a retry is served")  # type: ignore
        assert again.body["quantity"] == 1
    assert system.box.seats(event_id)["held"] == len(answers)
    return event_id


@pytest.mark.parametrize("fault", FAULTS)
def test_redis_is_gone_for_a_moment_under_load(system: System, box: Box, fault: str) -> None:
    event_id = _buy_through(system, box, FAULTS[fault])
    assert_seats_are_conserved(system, event_id)


def test_control_who_calls_a_closed_shard_sold_out_goes_red(system: System, altered: Altered) -> None:
    with altered(GUESSES) as guessing, goes_red("a guess instead of 503: {'INSUFFICIENT_SEATS'}"):
        _buy_through(system, guessing, _emptied)
    until(system.agreed, 15, "the shards are open again")
