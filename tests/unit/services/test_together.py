"""Callers that share a call: in threads here, and in greenlets in a process of their own."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from app.domain.errors import Refusal, refusal
from app.services.together import Together


class Act:
    """Answers each number with its text. The first call waits until it is let go."""

    def __init__(self, error: Callable[[int], Exception | None] = lambda number: None) -> None:
        self.calls: list[list[int]] = []
        self.go = threading.Event()
        self._error = error

    def __call__(self, numbers: Sequence[int]) -> Mapping[object, str]:
        self.calls.append(list(numbers))
        if len(self.calls) == 1:
            assert self.go.wait(30)
        for number in numbers:
            if error := self._error(number):
                raise error
        return {number: str(number) for number in numbers}


def together(act: Act, **limits: float) -> Together[int, str]:
    return Together(act, key=lambda number: number, **{"most": 10, "lanes": 1, "timeout_s": 30, **limits})  # type: ignore[arg-type]


def _ask(pool: ThreadPoolExecutor, asked: Together[int, str], act: Act, count: int) -> list[Future[str]]:
    """Number 0 is under way and the others wait, all of them, before it is let go."""
    futures = [pool.submit(asked, 0)]
    _until(lambda: act.calls == [[0]])
    futures += [pool.submit(asked, number) for number in range(1, count)]
    _until(lambda: asked._waiting == count - 1)
    act.go.set()
    return futures


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def _outcome(future: Future[str]) -> str:
    error = future.exception(timeout=30)
    if isinstance(error, Refusal):
        return error.kind.code
    return type(error).__name__ if error else future.result()


def test_one_that_comes_alone_goes_at_once() -> None:
    act = Act()
    act.go.set()
    assert together(act, linger_s=20)(7) == "7"


def test_those_that_come_meanwhile_share_calls_no_larger_than_admitted_and_each_has_its_own_answer() -> None:
    act = Act()
    with ThreadPoolExecutor(50) as pool:
        futures = _ask(pool, together(act), act, 50)
        assert [future.result(30) for future in futures] == [str(number) for number in range(50)]
    assert [len(call) for call in act.calls] == [1, 10, 10, 10, 10, 9]
    assert sorted(number for call in act.calls for number in call) == list(range(50))


def test_the_same_twice_at_once_is_never_twice_in_one_call() -> None:
    act = Act()
    asked = together(act)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(asked, 0)
        _until(lambda: act.calls == [[0]])
        twice = [pool.submit(asked, 1), pool.submit(asked, 1)]
        _until(lambda: asked._waiting == 2)
        act.go.set()
        assert [future.result(30) for future in (first, *twice)] == ["0", "1", "1"]
    assert act.calls == [[0], [1], [1]]


def test_what_is_wrong_with_one_is_that_ones_alone() -> None:
    act = Act(lambda number: ValueError(number) if number == 3 else refusal("NOT_FOUND") if number == 4 else None)
    with ThreadPoolExecutor(10) as pool:
        outcomes = [_outcome(future) for future in _ask(pool, together(act), act, 10)]
    assert outcomes == ["0", "1", "2", "ValueError", "NOT_FOUND", "5", "6", "7", "8", "9"]


def test_a_store_that_is_away_is_told_to_all_of_them_and_not_asked_once_each() -> None:
    act = Act(lambda number: refusal("SERVICE_UNAVAILABLE", "away") if number else None)
    with ThreadPoolExecutor(10) as pool:
        futures = _ask(pool, together(act), act, 10)
        assert [_outcome(future) for future in futures] == ["0"] + ["SERVICE_UNAVAILABLE"] * 9
    assert len({id(future.exception()) for future in futures}) == 10
    assert len(act.calls) == 2


def test_whoever_has_waited_long_enough_is_told_so_and_what_nobody_waits_for_is_not_begun() -> None:
    act = Act()
    asked = together(act, timeout_s=0.2)
    with ThreadPoolExecutor(10) as pool:
        futures = [pool.submit(asked, number) for number in range(10)]
        assert {_outcome(future) for future in futures} == {"SERVICE_UNAVAILABLE"}
    assert asked._waiting == 0
    act.go.set()
    _until(lambda: asked._busy == 0)
    assert len(act.calls) == 1
    assert asked(11) == "11"


def test_past_its_bound_the_queue_refuses_at_once() -> None:
    act = Act()
    asked = together(act, queue_most=5)
    with ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(asked, 0)]
        _until(lambda: act.calls == [[0]])
        futures += [pool.submit(asked, number) for number in range(1, 6)]
        _until(lambda: asked._waiting == 5)
        with pytest.raises(Refusal, match="Too many"):
            asked(6)
        act.go.set()
        assert [future.result(30) for future in futures] == ["0", "1", "2", "3", "4", "5"]


def test_a_batch_that_lingers_long_enough_takes_a_lane_that_is_free() -> None:
    act = Act()
    asked = together(act, lanes=2, linger_s=0.01)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(asked, 0)
        _until(lambda: act.calls == [[0]])
        assert pool.submit(asked, 1).result(30) == "1"
        assert not first.done()
        act.go.set()
        assert first.result(30) == "0"


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import gevent, time
from app.services.together import Together
calls = []
def act(numbers):
    calls.append(len(numbers))
    time.sleep(0.05)
    return {number: str(number) for number in numbers}
asked = Together(act, key=lambda number: number, most=50, timeout_s=20)
greenlets = [gevent.spawn(asked, number) for number in range(200)]
gevent.sleep(0.02)  # the first are under way, the others wait
for greenlet in greenlets[::3]:
    greenlet.kill(block=False)
gevent.joinall(greenlets)
answers = {number: greenlet.value for number, greenlet in enumerate(greenlets) if number % 3}
assert answers == {number: str(number) for number in range(200) if number % 3}, answers
assert asked(1000) == "1000" and asked._busy <= 1 and asked._waiting == 0
assert sum(calls) < 200 and len(calls) <= 8, calls
print("good")
"""


def test_greenlets_that_are_killed_while_they_wait_leave_the_others_their_answers() -> None:
    done = subprocess.run([sys.executable, "-c", GREENLETS], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("good\n", 0), done.stderr
