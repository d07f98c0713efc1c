"""Redis forgets twenty times in five minutes, each time in another way, under 200 calls a second, some of them paid.

`SEED=7 make faults ARGS="-k amnesias"` repeats the choices; what the system makes of them is never quite the same.
"""

import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zlib import crc32

import pytest

from dev.provider import Provider
from tests.support import invariants, kafka_log, promises
from tests.support.amnesias import FORGETS
from tests.support.buyers import until
from tests.support.promises import Loss
from tests.support.seats import Clock, Sale
from tests.support.storm import Customers
from tests.support.system import System, running
from tests.support.till import disagreements, states_left

AMNESIAS = int(os.environ.get("AMNESIAS", "20"))
INTERVAL_S, RATE = 14.5, 200
LONGEST_S = AMNESIAS * 60
"""Of a machine that is busy with other things."""
EVENTS, CAPACITY, BETWEEN, LIMIT, HOLD_SECONDS = 4, 500, (440, 560), 12, 12
HEALED_WITHIN_S = 30
CONFIRMED_AT_LEAST = 50 * AMNESIAS
PAYMENTS = {"decline-": 8, "timeout-then-succeed-": 3, "timeout-then-fail-": 3, "lose-answer-": 3, "card-": 83}
pytestmark = pytest.mark.timeout(LONGEST_S + 400)


@pytest.fixture(scope="module")
def provider(session_directory: Path) -> Iterator[Provider]:
    provider = Provider(session_directory / "amnesias-provider", {"PROVIDER_KNOWN_AFTER_S": "1"})
    provider.start()
    provider.wait_until_ready()
    yield provider
    provider.stop()


@pytest.fixture(scope="module")
def system(session_directory: Path, provider: Provider) -> Iterator[System]:
    pays = {
        "PAYMENTS": "http",
        "PAYMENTS_URL": provider.url,
        "PAYMENT_TIMEOUT_MS": "1000",
        "PAYMENT_BOUND_SECONDS": "20",
    }
    with running(session_directory / "amnesias", PIN_LIMIT_SECONDS="5", AUDIT_SECONDS="4", **pays) as system:
        yield system


def _payment(booking_id: str) -> str:
    """The same each time that it is asked for."""
    chance = random.Random(crc32(booking_id.encode()))
    (kind,) = chance.choices(list(PAYMENTS), list(PAYMENTS.values()))
    return f"{kind}{booking_id}"


def _strike(system: System, seed: int, events: list[str]) -> list[Loss]:
    """One amnesia after the other, each when the one before is over and its time has come."""
    chance, begin, losses = random.Random(seed), time.monotonic(), list[Loss]()
    for number in range(1, AMNESIAS + 1):
        time.sleep(max(0.0, begin + number * INTERVAL_S - time.monotonic()))
        amnesia = chance.choice(FORGETS)
        print(f"{time.monotonic() - begin:6.1f} s  {amnesia.name}", flush=True)
        losses.append(amnesia(system, chance.sample(events, len(events))))
        time.sleep(chance.uniform(0, 3))
        for process in (system.stack.kafka, system.stack.worker):  # what was killed with it
            process.start()
        system.stack.kafka.wait_until_ready(60)
    return losses


def test_a_storm_of_amnesias_costs_no_seat_and_no_booking_and_no_money(system: System, provider: Provider) -> None:
    seed = int(os.environ.get("SEED") or time.time())
    print(f"SEED={seed}")
    box = system.box
    terms = {"max_per_user": LIMIT, "hold_seconds": HOLD_SECONDS, "hold_seconds_max": 3 * HOLD_SECONDS}
    events = [box.open_event(CAPACITY, **terms) for _ in range(EVENTS)]
    customers = Customers(box.base_url, dict.fromkeys(events, CAPACITY), BETWEEN, RATE, seed, pays=_payment)
    with ThreadPoolExecutor(1) as pool:
        calls = pool.submit(customers.run, LONGEST_S)
        try:
            losses = _strike(system, seed, events)
        finally:
            customers.stop()
        healed = time.time()
        until(system.agreed, HEALED_WITHIN_S, "drift 0")
        print(f"drift 0 after {time.time() - healed:.1f} s")
        calls.result()  # who waits for a payment's outcome asks on, for up to PAYMENT_BOUND_SECONDS

    until(system.agreed, 5, "drift 0, and nobody calls")
    for verb, outcomes in customers.outcomes().items():
        print(f"{verb:>9}: {dict(outcomes.most_common())}")
    sales = [Sale(system.shop, Clock(), event_id) for event_id in events]
    until(lambda: not any(map(states_left, sales)), 90, "every payment's outcome is known")
    customers.pays = lambda booking_id: f"card-{booking_id}"
    for event_id in events:
        until(lambda e=event_id: box.seats(e)["held"] == 0, 4 * HOLD_SECONDS, "what nobody confirmed has expired")
        customers.buy_out(event_id)
        seats = box.seats(event_id)
        assert (seats["confirmed"], seats["held"], seats["available"]) == (seats["capacity"], 0, 0), seats
    until(system.all_told, 30, "everything is told")
    invariants.photographed_at_rest(system.shop)
    _judge(system, provider, customers, losses, sales)


def _judge(system: System, provider: Provider, customers: Customers, losses: list[Loss], sales: list[Sale]) -> None:
    """All ten invariants."""
    may_be = promises.void(customers.record, losses, kafka_log.told_at(system.kafka))
    void = invariants.not_recorded(system.database, may_be)
    record = promises.without(customers.record, void)
    confirmed = len(record.confirmed())
    print(f"confirmed: {confirmed}; void: {len(void)} answers of {len(record.calls)}")
    events = customers.capacities
    invariants.each_of(
        lambda: promises.only_honest_statuses(record),
        lambda: promises.keys_have_one_effect(record),
        lambda: promises.ends_are_final(record),
        *(lambda e=e: promises.never_sold_twice(record, e, CAPACITY) for e in events),
        *(lambda e=e: promises.limits_held(record, e, LIMIT) for e in events),
        lambda: invariants.stores_agree(system.shop),
        lambda: invariants.questions_find_nothing(system.database),
        lambda: invariants.reservations_end_once(system.database, invariants.rebuilds(system.kafka)),
        lambda: invariants.answers_are_true(system.database, record),
        lambda: invariants.transitions_are_told_once(system.database, system.kafka),
        *(lambda s=s: _money_and_tickets_agree(s, provider) for s in sales),
    )
    assert confirmed >= CONFIRMED_AT_LEAST, f"only {confirmed} confirmed"


def _money_and_tickets_agree(sale: Sale, provider: Provider) -> None:
    """Invariant 7."""
    wrong = disagreements(sale, provider)
    assert not wrong, f"{len(wrong)} payments such as {wrong[:3]}"
