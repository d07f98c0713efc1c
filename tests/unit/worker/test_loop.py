import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.domain.errors import refusal
from app.domain.model import Swept
from worker.events import Message
from worker.loop import Threads
from worker.outage import Outage
from worker.publisher import Publisher
from worker.rebuilder import Rebuilder
from worker.sweeper import Sweeper
from worker.topics import Topics


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_an_outage_is_said_once_a_minute_and_once_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    kafka = Outage("Kafka", clock)
    for _ in range(119):
        kafka.down("refused")
        clock.now += 1
    kafka.up()
    kafka.up()
    assert lines(caplog) == [
        "Kafka is away (for 0 s), trying again: refused",
        "Kafka is away (for 60 s), trying again: refused",
        "Kafka is back after 119 s",
    ]


def test_what_comes_and_goes_all_the_time_is_said_once_a_minute_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    kafka = Outage("Kafka", clock)
    for _ in range(590):
        kafka.down("refused")
        kafka.up()
        clock.now += 0.1
    assert len(lines(caplog)) == 2


def test_a_loop_that_fails_is_logged_whole_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    stop, lives = threading.Event(), []

    def body(stop: threading.Event) -> None:
        lives.append(1)
        if len(lives) == 1:
            raise RuntimeError("boom")
        stop.wait()

    threads = Threads(stop, Outage("Kafka"))
    threads.start("clumsy", body)
    while len(lives) < 2:
        stop.wait(0.01)
    stop.set()
    assert threads.join(2) == []
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == "clumsy: unexpected"
    assert record.exc_info is not None


def test_a_loop_that_does_not_end_in_time_is_named() -> None:
    stop = threading.Event()
    threads = Threads(stop, Outage("Kafka"))
    release = threading.Event()
    threads.start("stubborn", lambda stop: release.wait() and None)
    stop.set()
    assert threads.join(0.05) == ["stubborn"]
    release.set()
    assert threads.join(2) == []


def test_the_sweeper_goes_round_until_no_shard_has_more_and_passes_a_closed_one_by() -> None:
    calls: list[int] = []
    left = {0: 2, 2: 1}

    def expire(shard: int) -> Swept:
        calls.append(shard)
        if shard == 1:
            raise refusal("SERVICE_UNAVAILABLE")
        left[shard] -= 1
        return Swept(10, left[shard] > 0, ())

    sweeper = Sweeper(expire, range(3), 500)
    sweeper.sweep(threading.Event())
    assert calls == [0, 1, 2, 0]
    assert sweeper.expired == 30


@pytest.mark.parametrize("error", [refusal("SERVICE_UNAVAILABLE"), RuntimeError("a bug")])
def test_a_shard_that_cannot_be_rebuilt_does_not_keep_the_others_closed(error: Exception) -> None:
    rebuilt: list[int] = []

    def rebuild(shard: int) -> bool:
        if shard == 1:
            raise error
        rebuilt.append(shard)
        return True

    rebuilder = Rebuilder(lambda: [0, 1, 2], rebuild, lambda: None, None, None)
    assert rebuilder.look(threading.Event()) == 2
    assert rebuilt == [0, 2]


class Future:
    """As much of kafka-python's future as the publisher asks for."""

    is_done = True

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def get(self, timeout: float) -> None:
        if self.error:
            raise self.error


class StandIn:
    """A broker whose producers answer what they are told to."""

    topics = Topics()

    def __init__(self, answer: Callable[[bytes], Any]) -> None:
        self.answer = answer
        self.producers = 0
        self.sent: list[bytes] = []

    def ensure_topics(self) -> None: ...

    def producer(self) -> "StandIn":
        self.producers += 1
        return self

    def send(self, topic: str, value: bytes, **_: Any) -> Any:
        self.sent.append(value)
        return self.answer(value)

    def close(self, timeout: float) -> None: ...


def test_after_a_failure_nothing_more_of_the_batch_is_sent_and_the_producer_is_replaced() -> None:
    def answer(value: bytes) -> Future:
        if value == b"2":
            raise ValueError("Unrecognized partition 2")
        return Future()

    broker = StandIn(answer)
    publisher = Publisher(broker, threading.Event())  # type: ignore[arg-type]
    results = publisher.publish([Message("t", b"", value) for value in (b"1", b"2", b"3")])
    assert [error is None for error in results] == [True, False, False]
    assert broker.sent == [b"1", b"2"]
    publisher.publish([Message("t", b"", b"1")])
    publisher.publish([Message("t", b"", b"1")])
    assert broker.producers == 2
