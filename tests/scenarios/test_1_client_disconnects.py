"""Scenario 1. Who reserves and is never heard of again keeps nobody from the seats for longer than the deadline: within
two seconds of it they are on sale again, with every worker dead as well, and neither store remembers a hold."""

import http.client
import json
import time
from collections import Counter

import pytest

from tests.support.buyers import API, Box, until
from tests.support.system import System, assert_seats_are_conserved

HOLD_SECONDS, SWEPT_WITHIN_S = 1, 2


def _reserve_and_hang_up(box: Box, event_id: str) -> None:
    """The whole request is sent, and the connection closed before the answer is read."""
    host, port = box.base_url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    order = json.dumps({"event_id": event_id, "zone_id": "A", "quantity": 2})
    headers = {"X-User-ID": "gone", "Content-Type": "application/json"}
    connection.request("POST", f"{API}/bookings/reserve", order, headers)
    connection.close()


def test_the_seats_of_a_client_that_hung_up_are_on_sale_again(system: System, box: Box) -> None:
    event_id = box.open_event(2, hold_seconds=HOLD_SECONDS)
    _reserve_and_hang_up(box, event_id)
    until(lambda: box.seats(event_id)["held"] == 2, 5, "the request was carried out")
    held_until = time.monotonic() + HOLD_SECONDS + SWEPT_WITHIN_S
    until(lambda: not _live(system, event_id), held_until - time.monotonic(), "the sweeper has ended it")
    assert box.seats(event_id)["available"] == 2
    until(lambda: _recorded(system, event_id) == {"expired": 1}, 10, "Postgres has the expiry, and no orphan")
    assert_seats_are_conserved(system, event_id)


@pytest.mark.usefixtures("worker_is_back")
def test_they_are_sold_to_the_next_with_every_worker_dead(system: System, box: Box) -> None:
    event_id = box.open_event(2, hold_seconds=HOLD_SECONDS)
    assert box.reserve(event_id, "gone", 2).status == 201
    system.stack.worker.kill()
    assert box.reserve(event_id, "bob").body["code"] == "INSUFFICIENT_SEATS"
    until(lambda: box.reserve(event_id, "bob", 2).status == 201, HOLD_SECONDS + 1, "sold to the next")
    system.stack.worker.start()
    until(lambda: _recorded(system, event_id)["expired"] > 0, 20, "a later worker records it")
    assert_seats_are_conserved(system, event_id)


def _live(system: System, event_id: str) -> int:
    """Seats that Redis still holds, due or not."""
    live = system.shop.reservations.live(event_id, "A")
    assert live is not None
    return live.held


def _recorded(system: System, event_id: str) -> Counter[str]:
    query = "SELECT status FROM booking.bookings WHERE event_id = %s"
    return Counter(status for (status,) in system.shop.postgres.rows(query, [event_id]))
