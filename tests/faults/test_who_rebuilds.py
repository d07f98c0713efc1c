"""Redis forgets what only Kafka's log has heard of, and the worker is slow: whoever rebuilds without the log makes the
answers void that it holds (rule 3.7), so a web process leaves it to a worker for as long as one lives."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.worker import Worker
from tests.support import forgetful
from tests.support.buyers import until
from tests.support.system import System, running

pytestmark = pytest.mark.timeout(180)
SEATS, SLOW_SECONDS = 10, 9
"""Longer than a web process waits for a worker that is about to start."""


@pytest.fixture(scope="module")
def system(session_directory: Path) -> Iterator[System]:
    with running(session_directory / "who-rebuilds") as system:
        system.stack.worker.stop()
        yield system


@pytest.fixture
def rebuilder(system: System) -> Iterator[Worker]:
    """A worker that rebuilds, and records nothing of the log before that."""
    worker = Worker(system.stack.directory / "rebuilder", system.stack.settings, ["rebuilder"])
    worker.start()
    until(system.shop.reopen.worker_lives, 20, "it is on duty")
    yield worker
    worker.resume()
    worker.stop()


def _reserved(system: System, event_id: str) -> str | None:
    answer = system.box.reserve(event_id, "ann", idempotency_key="once")
    return answer.body["booking_id"] if answer.status == 201 else None


def _in_the_log_alone(system: System) -> str:
    """A reservation that has left Redis' outbox and has not come to Postgres."""
    event_id = system.box.open_event(SEATS)
    reserved = until(lambda: _reserved(system, event_id), 10, "it sells")
    relay = Worker(system.stack.directory / "relay", system.stack.settings, ["relay"])
    relay.start()
    until(system.all_told, 30, "the log has all of it")
    relay.stop()
    return reserved


def test_a_worker_that_is_slow_is_waited_for(system: System, rebuilder: Worker) -> None:
    booking_id = _in_the_log_alone(system)
    rebuilder.pause()
    forgetful.empty(system.stack.redis)
    began = time.monotonic()
    while time.monotonic() - began < SLOW_SECONDS:
        assert system.box.confirm(booking_id, "ann").status == 503
        time.sleep(0.2)
    rebuilder.resume()
    _confirms(system, booking_id, 200)


def test_a_worker_that_is_dead_is_not(system: System, rebuilder: Worker) -> None:
    """The control: what makes the difference above is the worker's life."""
    booking_id = _in_the_log_alone(system)
    rebuilder.kill()
    forgetful.empty(system.stack.redis)
    _confirms(system, booking_id, 404)


def _confirms(system: System, booking_id: str, as_: int) -> None:
    def answer() -> int | None:
        status = system.box.confirm(booking_id, "ann").status
        return None if status == 503 else status

    assert until(answer, 20, "its shard is open") == as_
