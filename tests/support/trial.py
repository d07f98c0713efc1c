"""One amnesia under load, judged by what its customers saw and by both stores: a row of a table."""

import itertools
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from tests.support import invariants, kafka_log, promises
from tests.support.amnesias import Amnesia
from tests.support.buyers import until
from tests.support.promises import Call, Loss, Record
from tests.support.storm import Customers
from tests.support.system import System, assert_seats_are_conserved

RATE, EVENTS, CAPACITY, LIMIT, HOLD_SECONDS = 60, 4, 300, 12, 8
BEFORE_S, AFTER_S, SELLS_WITHIN_S, AGREED_WITHIN_S, LONGEST_S = 4, 6, 10, 30, 600
VERBS: Final = {"reserve": 40, "confirm": 25, "cancel": 20, "release": 7, "extend": 7, "capacity": 1}
HEAD: Final = "| died | came back | first 201, s | without a 201, s | void | drift | answers |\n" + 7 * "|---" + "|"


@dataclass
class Row:
    """Of the table."""

    case: Amnesia
    first_201_s: float
    without_201_s: float
    void: int
    drift_0_s: float
    statuses: Counter[int]

    def __str__(self) -> str:
        told = " ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        return (
            f"| {self.case.died} | {self.case.came_back} | {self.first_201_s:.1f} | {self.without_201_s:.1f} | "
            f"{self.void} | 0 after {self.drift_0_s:.1f} s | {told} |"
        )


def trial(system: System, case: Amnesia) -> Row:
    """Customers buy all the while; fails if it does not sell again in time, or a promise is broken that is not void."""
    terms = {"max_per_user": LIMIT, "hold_seconds": HOLD_SECONDS, "hold_seconds_max": 2 * HOLD_SECONDS}
    events = [system.box.open_event(CAPACITY, **terms) for _ in range(EVENTS)]
    between = (CAPACITY - 30, CAPACITY + 30)
    customers = Customers(system.box.base_url, dict.fromkeys(events, CAPACITY), between, RATE, 7, VERBS)
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(customers.run, LONGEST_S)
        try:
            time.sleep(BEFORE_S)
            loss = case(system, events)
            sells = until(lambda: _first_201(customers.record, loss.ended), SELLS_WITHIN_S, "it sells again")
            healed = time.time()
            system.stack.worker.start()
            system.stack.kafka.start()
            system.stack.kafka.wait_until_ready(60)
            time.sleep(AFTER_S)
        finally:
            customers.stop()
        load.result()
    until(system.agreed, AGREED_WITHIN_S, "both stores agree")
    drift_0 = time.time() - healed
    for event_id in events:
        until(lambda e=event_id: system.box.seats(e)["held"] == 0, 40, "what nobody confirmed has expired")
    until(system.all_told, 30, "everything is told")
    void = _judge(system, customers, [loss])
    statuses = Counter(call.status for call in customers.record.calls)
    return Row(case, sells - loss.ended, _longest_gap(customers.record), len(void), drift_0, statuses)


def _judge(system: System, customers: Customers, losses: Sequence[Loss]) -> list[Call]:
    """Every oracle; answers the promises that are void: they may be, and nobody else has heard of them."""
    may_be = promises.void(customers.record, losses, kafka_log.told_at(system.kafka))
    void = invariants.not_recorded(system.database, may_be)
    record = promises.without(customers.record, void)
    invariants.each_of(
        lambda: promises.only_honest_statuses(record),
        lambda: promises.keys_have_one_effect(record),
        lambda: promises.ends_are_final(record),
        *(lambda e=e: promises.never_sold_twice(record, e, CAPACITY) for e in customers.capacities),
        *(lambda e=e: promises.limits_held(record, e, LIMIT) for e in customers.capacities),
        lambda: assert_seats_are_conserved(system, *customers.capacities),
        lambda: invariants.questions_find_nothing(system.database),
        lambda: invariants.reservations_end_once(system.database, invariants.rebuilds(system.kafka)),
        lambda: invariants.answers_are_true(system.database, record),
        *(
            lambda e=e: invariants.transitions_are_told_once(system.database, system.kafka, event_id=e)
            for e in customers.capacities
        ),
    )
    return void


def _first_201(record: Record, since: float) -> float | None:
    """When the first reserve was answered that was sent after `since`."""
    return min((c.answered for c in record.of("reserve") if c.done and c.sent >= since), default=None)


def _longest_gap(record: Record) -> float:
    """The longest time in which nobody was sold anything."""
    moments = sorted(call.answered for call in record.of("reserve") if call.done)
    return max(after - before for before, after in itertools.pairwise(moments))
