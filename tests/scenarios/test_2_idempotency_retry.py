"""Scenario 2. A request that is sent again under its key is the same request: the same booking, 201 again, and the
seats are taken once, even where fifty come first at once. The same key for something else is refused."""

from tests.scenarios.conftest import Altered
from tests.support.buyers import Answer, Box, at_once, statuses
from tests.support.controls import goes_red
from tests.support.system import System, assert_seats_are_conserved

FORGETFUL = ("reserve", "if first then", "if false then")
CAPACITY, QUANTITY, KEY = 200, 2, "order-4711"


def _are_one_reservation(box: Box, event_id: str, answers: list[Answer]) -> None:
    assert statuses(answers) == {201: len(answers)}
    bookings = {answer.body["booking_id"] for answer in answers}
    assert len(bookings) == 1, f"one key has made {len(bookings)} bookings"
    assert sum(answer.headers.get("idempotency-replayed") == "true" for answer in answers) == len(answers) - 1
    assert box.seats(event_id)["held"] == QUANTITY


def _retried(box: Box, event_id: str) -> list[Answer]:
    order = {"event_id": event_id, "zone_id": "A", "quantity": QUANTITY}
    headers = {"Idempotency-Key": KEY}
    return [box.call("POST", "/bookings/reserve", "ann", json=order, headers=headers) for _ in range(4)]


def test_a_retry_gets_the_first_answer_again(system: System, box: Box) -> None:
    event_id = box.open_event(CAPACITY)
    _are_one_reservation(box, event_id, _retried(box, event_id))
    assert_seats_are_conserved(system, event_id)


def test_fifty_first_requests_at_once_are_one(system: System, box: Box) -> None:
    event_id = box.open_event(CAPACITY)
    answers = at_once(lambda _: box.reserve(event_id, "ann", QUANTITY, idempotency_key=KEY), 50)
    _are_one_reservation(box, event_id, answers)
    assert_seats_are_conserved(system, event_id)


def test_the_same_key_for_something_else_is_refused_and_takes_nothing(system: System, box: Box) -> None:
    event_id = box.open_event(CAPACITY)
    first = box.reserve(event_id, "ann", QUANTITY, idempotency_key=KEY)
    other = box.reserve(event_id, "ann", QUANTITY + 1, idempotency_key=KEY)
    assert (other.status, other.body["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    again = box.reserve(event_id, "ann", QUANTITY, idempotency_key=KEY)
    _are_one_reservation(box, event_id, [first, again])
    somebody_else = box.reserve(event_id, "bob", QUANTITY, idempotency_key=KEY)
    assert somebody_else.body["booking_id"] != first.body["booking_id"]
    assert_seats_are_conserved(system, event_id)


def test_control_without_a_record_of_the_key_it_goes_red(box: Box, altered: Altered) -> None:
    event_id = box.open_event(CAPACITY)
    with altered(FORGETFUL) as forgetful, goes_red("one key has made 4 bookings"):
        _are_one_reservation(box, event_id, _retried(forgetful, event_id))
