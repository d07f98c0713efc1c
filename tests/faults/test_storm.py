"""Everything at once: customers at 200 calls a second, and every five seconds a process that is killed or paused.

Three minutes. `SEED=7 make faults ARGS="-k storm"` repeats the choices of a storm; what the system makes of them is
never quite the same. `STORM_SECONDS` makes it longer.
"""

import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import psutil
import pytest

from dev.stack import Stack
from dev.worker import Worker
from tests.support import invariants, promises
from tests.support.buyers import Box, until
from tests.support.storm import Customers, Fault, Faults, killed, paused
from tests.support.system import System, running

SECONDS = float(os.environ.get("STORM_SECONDS", "180"))
RATE = 200
EVENTS, CAPACITY, BETWEEN, LIMIT, HOLD_SECONDS = 4, 500, (440, 560), 12, 12
CONFIRMED_AT_LEAST = 5_000 * SECONDS / 180
HEALED_WITHIN_S = 30
pytestmark = pytest.mark.timeout(SECONDS + 300)


@pytest.fixture(scope="module")
def system(session_directory: Path) -> Iterator[System]:
    with running(session_directory / "storm", PIN_LIMIT_SECONDS="5") as system:
        yield system


@pytest.fixture(scope="module")
def second(system: System) -> Iterator[Worker]:
    """Two workers at once are allowed to do all that one does."""
    worker = Worker(system.stack.directory / "worker-2", system.stack.settings)
    worker.start()
    yield worker
    worker.stop()


def _faults(stack: Stack, second: Worker) -> list[Fault]:
    def kill_a_web_worker(chance: random.Random) -> None:
        psutil.Process(chance.choice(stack.web.worker_pids())).send_signal(signal.SIGKILL)

    workers = [(stack.worker, "worker"), (second, "worker 2")]
    stores = [(stack.postgres, "postgres"), (stack.redis, "redis"), (stack.kafka, "kafka")]
    return [
        Fault("kill -9 one gunicorn worker", "web", kill_a_web_worker),
        killed(stack.web),
        paused(stack.web),
        *(killed(worker, name) for worker, name in workers),
        *(paused(worker, name, (1.0, 8.0)) for worker, name in workers),
        *(killed(store, name) for store, name in stores),
        *(paused(store, name) for store, name in stores),
    ]


def test_a_storm_of_faults_costs_no_seat_and_no_booking(system: System, second: Worker) -> None:
    seed = int(os.environ.get("SEED") or time.time())
    print(f"SEED={seed}")
    box = system.box
    terms = {"max_per_user": LIMIT, "hold_seconds": HOLD_SECONDS, "hold_seconds_max": 3 * HOLD_SECONDS}
    customers = Customers(
        base_url=box.base_url,
        capacities={box.open_event(CAPACITY, **terms): CAPACITY for _ in range(EVENTS)},
        between=BETWEEN,
        rate=RATE,
        seed=seed,
    )
    faults = Faults(_faults(system.stack, second), seed)
    healed = _weather(customers, faults)

    record = customers.record
    until(system.agreed, healed + HEALED_WITHIN_S - time.time(), "drift 0")
    print(f"drift 0 after {time.time() - healed:.1f} s; struck: {dict(faults.struck)}")
    for verb, outcomes in customers.outcomes().items():
        print(f"{verb:>9}: {dict(outcomes.most_common())}")
    print(f"confirmed: {len(record.confirmed())}")

    left = healed + HEALED_WITHIN_S - time.time()
    until(lambda: all(map(_answers, repeat(box), customers.capacities)), left, "every zone is open")
    for event_id in customers.capacities:
        until(lambda e=event_id: box.seats(e)["held"] == 0, 4 * HOLD_SECONDS, "what nobody confirmed has expired")
        customers.buy_out(event_id)
        seats = box.seats(event_id)
        assert (seats["confirmed"], seats["held"], seats["available"]) == (seats["capacity"], 0, 0), seats
    until(system.all_told, 30, "everything is told")
    invariants.photographed_at_rest(system.shop)
    assert len(record.confirmed()) >= CONFIRMED_AT_LEAST, f"only {len(record.confirmed())} confirmed"
    invariants.each_of(
        lambda: promises.only_honest_statuses(record),
        lambda: promises.keys_have_one_effect(record),
        lambda: promises.ends_are_final(record),
        *(lambda e=e: promises.never_sold_twice(record, e, CAPACITY) for e in customers.capacities),
        *(lambda e=e: promises.limits_held(record, e, LIMIT) for e in customers.capacities),
        lambda: invariants.stores_agree(system.shop),
        lambda: invariants.questions_find_nothing(system.database),
        lambda: invariants.reservations_end_once(
            system.database, invariants.rebuilds(system.stack.settings["KAFKA_BOOTSTRAP_SERVERS"])
        ),
        lambda: invariants.answers_are_true(system.database, record),
        lambda: invariants.transitions_are_told_once(system.database, system.stack.settings["KAFKA_BOOTSTRAP_SERVERS"]),
    )


def _answers(box: Box, event_id: str) -> bool:
    answer = box.call("GET", f"/events/{event_id}/zones/A")
    assert answer.status in (200, 503), answer
    return answer.status == 200


def _weather(customers: Customers, faults: Faults) -> float:
    """The storm itself; when its last fault was healed (seconds since the epoch)."""
    with ThreadPoolExecutor(2) as pool:
        calls, strikes = pool.submit(customers.run, SECONDS), pool.submit(faults.run, SECONDS)
        strikes.result()
        healed = time.time()
        calls.result()
    return healed
