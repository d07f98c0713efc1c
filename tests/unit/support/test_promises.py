"""The oracles over the clients' history: each is content with a true history, and red where a promise was broken."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support import promises
from tests.support.controls import goes_red
from tests.support.promises import NO_ANSWER, Call, Record

EVENT, CAPACITY, LIMIT = "e", 3, 2
HOLD = 100.0
DEADLINE = 1 + HOLD
"""Of what was reserved at 1."""


def _at(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


def _call(verb: str, booking: str, sent: float, status: int = 200, user: str = "", **more: Any) -> Call:
    """A call that took a second, by a user of the booking's name."""
    given: dict[str, Any] = {"booking_id": booking, "body": {}, **more}
    return Call(verb, user or booking, EVENT, sent, sent + 1, status, **given)


def _reserve(booking: str, sent: float, quantity: int = 1, **more: Any) -> Call:
    body = {"booking_id": booking, "expires_at": _at(sent + HOLD)}
    return _call("reserve", booking, sent, 201, body=body, quantity=quantity, **{"booking_id": None, **more})


def _capacity(sent: float, capacity: int, status: int = 200) -> Call:
    return _call("capacity", "", sent, status, quantity=capacity, booking_id=None)


def _confirm(booking: str, sent: float, status: int = 200) -> Call:
    return _call("confirm", booking, sent, status, body={"confirmation_code": "C"})


def _never_sold_twice(record: Record) -> None:
    promises.never_sold_twice(record, EVENT, CAPACITY)


def _limits_held(record: Record) -> None:
    promises.limits_held(record, EVENT, LIMIT)


TRUE: dict[str, list[Call]] = {
    "as many as there are": [_reserve("a", 1, 2), _reserve("b", 2, 1)],
    "sold again after a release": [_reserve("a", 1, 2), _call("release", "a", 5), _reserve("b", 5, 2)],
    "sold again while a release is unanswered": [
        _reserve("a", 1, 2), _call("release", "a", 5, NO_ANSWER), _reserve("b", 7, 2),
    ],
    "sold again after the deadline": [_reserve("a", 1, 2), _reserve("b", DEADLINE, 2)],
    "sold again after a cancellation": [
        _reserve("a", 1, 2), _confirm("a", 3), _call("cancel", "a", 200), _reserve("b", 201, 2),
    ],
    "more seats": [_reserve("a", 1, 2), _capacity(3, 4), _reserve("b", 4, 2)],
    "more seats, perhaps": [_reserve("a", 1, 2), _capacity(3, 4, NO_ANSWER), _reserve("b", 4, 2)],
    "a key asked for twice": [_reserve("a", 1, key="k"), _reserve("a", 2, key="k")],
    "refused after a cancellation": [
        _reserve("a", 1), _confirm("a", 2), _call("cancel", "a", 4), _confirm("a", 6, 404),
    ],
}  # fmt: skip
LIES: dict[str, tuple[Callable[[Record], None], str, list[Call]]] = {
    "sold twice": (_never_sold_twice, "4 seats of e were in use of 3", [_reserve("a", 1, 2), _reserve("b", 2, 2)]),
    "sold again before the deadline": (
        _never_sold_twice, "in use of 3", [_reserve("a", 1, 2), _reserve("b", DEADLINE - 2, 2)],
    ),
    "sold again before the later deadline": (
        _never_sold_twice, "in use of 3",
        [_reserve("a", 1, 2), _call("extend", "a", 5, body={"expires_at": _at(DEADLINE * 2)}), _reserve("b", 150, 2)],
    ),
    "sold though it is confirmed": (
        _never_sold_twice, "in use of 3", [_reserve("a", 1, 2), _confirm("a", 3), _reserve("b", 500, 2)],
    ),
    "a release that was refused freed the seats": (
        _never_sold_twice, "in use of 3", [_reserve("a", 1, 2), _call("release", "a", 5, 409), _reserve("b", 7, 2)],
    ),
    "a cut below what is in use": (
        _never_sold_twice, "3 seats of e were in use of 2", [_reserve("a", 1, 3), _capacity(5, 2)],
    ),
    "a change that was refused": (
        _never_sold_twice, "in use of 3", [_reserve("a", 1, 2), _capacity(3, 9, 409), _reserve("b", 5, 2)],
    ),
    "more than one user may have": (
        _limits_held, "3 seats of ann", [_reserve("a", 1, 2, user="ann"), _reserve("b", 2, 1, user="ann")],
    ),
    "a key with two bookings": (
        promises.keys_have_one_effect, "a key has made several",
        [_reserve("a", 1, key="k", user="ann"), _reserve("b", 2, key="k", user="ann")],
    ),
    "confirmed after its release": (
        promises.ends_are_final, "a had ended", [_reserve("a", 1), _call("release", "a", 3), _confirm("a", 5)],
    ),
    "released twice": (
        promises.ends_are_final, "a had ended", [_reserve("a", 1), _call("release", "a", 3), _call("release", "a", 5)],
    ),
    "a confirmation taken back": (
        promises.ends_are_final, "a was confirmed", [_reserve("a", 1), _confirm("a", 2), _confirm("a", 4, 404)],
    ),
    "an internal error": (promises.only_honest_statuses, "1 answers such as", [_confirm("a", 1, 500)]),
}  # fmt: skip


@pytest.mark.parametrize("history", TRUE)
def test_no_oracle_complains_of_a_true_history(history: str) -> None:
    record = Record(TRUE[history])
    promises.keys_have_one_effect(record)
    promises.ends_are_final(record)
    promises.only_honest_statuses(record)
    _never_sold_twice(record)
    promises.limits_held(record, EVENT, CAPACITY)


@pytest.mark.parametrize("history", LIES)
def test_an_oracle_goes_red_at_a_broken_promise(history: str) -> None:
    oracle, message, calls = LIES[history]
    with goes_red(message):
        oracle(Record(calls))


LOSS = promises.Loss(began=10, ended=12)


RESERVED = _reserve("a", 8)
EXTENDED = _call("extend", "a", 8, body={"booking_id": "a", "expires_at": _at(DEADLINE * 2)})
RELEASED = _call("release", "a", 8, body={"booking_id": "a", "status": "released"})
CREATED = ("created", "a", promises.deadline_ms(RESERVED))
VOID: dict[str, tuple[list[Call], promises.Told, list[Call]]] = {
    "nobody else has heard of it": ([RESERVED], {}, [RESERVED]),
    "the log was told too late": ([RESERVED], {CREATED: 10.5}, [RESERVED]),
    "the log had been told": ([RESERVED], {CREATED: 9.5}, []),
    "it was asked for afterwards": ([_reserve("a", 12)], {}, []),
    "it is confirmed": ([RESERVED, _confirm("a", 9)], {}, []),
    "an extension": ([RESERVED, EXTENDED], {CREATED: 9}, [EXTENDED]),
    "a release": ([RESERVED, RELEASED], {CREATED: 9}, [RELEASED]),
    "a refusal": ([_call("release", "a", 8, 404)], {}, []),
}


@pytest.mark.parametrize("history", VOID)
def test_void_is_what_redis_alone_knew_when_it_was_lost(history: str) -> None:
    calls, told, expected = VOID[history]
    assert promises.void(Record(calls), [LOSS], told) == expected
    left = promises.without(Record(calls), expected)
    assert [call.status for call in left.calls] == [NO_ANSWER if call in expected else call.status for call in calls]
