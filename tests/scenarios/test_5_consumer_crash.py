"""Scenario 5. A worker is killed in the middle of a batch: another gets the same events again, and everything is in
Postgres once. One that marked its place before it had done the work would lose them."""

from collections import Counter
from collections.abc import Iterator

import pytest

from dev.worker import Worker
from tests.support.buyers import Box, until
from tests.support.controls import goes_red
from tests.support.dying_worker import DyingWorker
from tests.support.invariants import reservations_end_once
from tests.support.system import System, assert_seats_are_conserved

pytestmark = pytest.mark.timeout(180)
EXPECTED = Counter(released=3, confirmed=2, cancelled=1, reserved=3)


@pytest.fixture
def without_worker(system: System) -> Iterator[None]:
    """Everything that was before is done, and the one that dies gets everything that comes."""
    until(lambda: system.agreed() and system.all_told(), 30, "nothing is on its way")
    system.stack.worker.stop()
    yield
    system.stack.worker.start()


def _everything_happens(box: Box) -> str:
    """Each of `EXPECTED`; answers the event."""
    event_id = box.open_event(100)
    ids = [box.reserve(event_id, f"user-{n}", idempotency_key="k").body["booking_id"] for n in range(9)]
    for number, verb in enumerate(["release"] * 3 + ["confirm"] * 3):
        assert box.call("POST", f"/bookings/{ids[number]}/{verb}", f"user-{number}").status == 200
    assert box.call("POST", f"/bookings/{ids[5]}/cancel", "user-5").status == 200
    return event_id


def _a_worker_dies(system: System, line: str) -> None:
    loops = ["relay", "consumer"]
    dying = DyingWorker(system.stack.directory / f"dying-{line}", system.stack.settings, [line, *loops])
    dying.start()
    until(lambda: not dying.running, 60, "it has died")
    assert "Traceback" not in dying.log.read_text(), "it was not killed: it failed"
    dying.stop()


def _recorded(system: System, event_id: str) -> Counter[str]:
    query = "SELECT status FROM booking.bookings WHERE event_id = %s"
    return Counter(status for (status,) in system.shop.postgres.rows(query, [event_id]))


def _is_recorded_once(system: System, event_id: str, seconds: float) -> None:
    until(lambda: _recorded(system, event_id) == EXPECTED, seconds, f"it has {_recorded(system, event_id)}")
    reservations_end_once(system.database)


@pytest.mark.usefixtures("without_worker")
@pytest.mark.parametrize("line", ["within", "after"])
def test_what_a_killed_worker_had_in_hand_is_recorded_once_by_the_next(system: System, box: Box, line: str) -> None:
    event_id = _everything_happens(box)
    _a_worker_dies(system, line)
    system.stack.worker.start()
    _is_recorded_once(system, event_id, 60)
    assert_seats_are_conserved(system, event_id)


@pytest.mark.usefixtures("without_worker")
def test_control_a_worker_that_marks_its_place_first_goes_red(system: System, box: Box) -> None:
    event_id = _everything_happens(box)
    relay = Worker(system.stack.directory / "relay-alone", system.stack.settings, ["relay"])
    relay.start()
    until(system.all_told, 60, "all of it is in the log, and nowhere else")
    relay.stop()
    _a_worker_dies(system, "offsets-first")
    system.stack.worker.start()
    later = box.open_event(10)
    box.reserve(later, "ann")
    until(lambda: _recorded(system, later), 60, "what comes after it is recorded")
    with goes_red("still not: it has"):
        _is_recorded_once(system, event_id, 1)
    assert not system.shop.reconcile(event_id, repair=True).findings  # and nothing of it stays behind
