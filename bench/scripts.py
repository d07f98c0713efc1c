"""What each script costs Redis, beside an empty one that is called with the same keys and arguments."""

import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from bench.lab import Lab
from bench.measure import Plan

Calls = Callable[[int, bool], Iterator[Sequence[str | bytes]]]


@dataclass(frozen=True)
class Cost:
    """µs of Redis a call, medians. `how`: who asked."""

    script: str
    how: str
    cost_us: float
    empty_us: float

    @property
    def ratio(self) -> float:
        return self.cost_us / self.empty_us


_CALLS: Final = 10_000


def run(lab: Lab, plan: Plan, say: Callable[[str], None]) -> list[Cost]:
    """reserve by redis-benchmark, then every hot script in a pipeline."""
    lab.empty()
    lab.open_zones(["A"])
    calls = _CALLS if plan.rounds < 5 else 2 * _CALLS
    costs = [_by_benchmark(lab, plan.rounds, calls)]
    for name, expects, make in _life(lab):
        costs.append(_by_pipeline(lab, plan.rounds, calls // 4, name, expects, make))
    for cost in costs:
        say(f"    {cost.script} ({cost.how}): {cost.cost_us:.1f} µs, empty {cost.empty_us:.1f}, {cost.ratio:.1f}x")
    return costs


def _by_benchmark(lab: Lab, rounds: int, calls: int) -> Cost:
    real, empty = lab.call("reserve", *lab.reserve()), lab.call("reserve", *lab.reserve(), empty=True)
    pairs = []
    for _ in range(rounds):
        pairs.append((lab.benchmark(real, calls), lab.benchmark(empty, calls)))
        lab.trim()
    return _cost("reserve", "redis-benchmark, 64 connections", pairs)


def _by_pipeline(lab: Lab, rounds: int, calls: int, name: str, expects: str, make: Calls) -> Cost:
    pairs = []
    for _ in range(rounds):
        real, empty = make(calls, False), make(calls, True)
        pairs.append((lab.pipelined(real, [expects]), lab.pipelined(empty)))
        lab.trim()
    return _cost(name, "pipelined", pairs)


def _cost(name: str, how: str, pairs: Sequence[tuple[float, float]]) -> Cost:
    return Cost(name, how, statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs))


def _life(lab: Lab) -> Iterator[tuple[str, str, Calls]]:
    """Each hot script on reservations that are there for it; a round takes fresh ones."""
    numbers = iter(range(10**10, 10**11))  # above those of redis-benchmark

    def fresh(count: int) -> list[str]:
        made = [f"{next(numbers):012}" for _ in range(count)]
        lab.pipelined(lab.call("reserve", *lab.reserve(number=n)) for n in made)
        return made

    def booking(number: str) -> str:
        return str(UUID(bytes=lab.booking(number)))

    def reserve(count: int, empty: bool) -> Iterator[Sequence[str | bytes]]:
        return (lab.call("reserve", *lab.reserve(number=f"{next(numbers):012}"), empty=empty) for _ in range(count))

    def sold_out(count: int, empty: bool) -> Iterator[Sequence[str | bytes]]:
        lab.open_zones(["full"], capacity=0)
        arguments = ((f"{next(numbers):012}") for _ in range(count))
        return (lab.call("reserve", *lab.reserve("full", n), empty=empty) for n in arguments)

    def replay(count: int, empty: bool) -> Iterator[Sequence[str | bytes]]:
        made = fresh(count)
        return (lab.call("reserve", *lab.reserve(number=n), empty=empty) for n in made)

    def on_own(name: str, *more: str) -> Calls:
        def calls(count: int, empty: bool) -> Iterator[Sequence[str | bytes]]:
            made = fresh(count)
            return (lab.call(name, booking(n), f"buyer-{n}", *more, empty=empty) for n in made)

        return calls

    def settle(count: int, empty: bool) -> Iterator[Sequence[str | bytes]]:
        made = fresh(count)
        lab.pipelined(lab.call("confirm", booking(n), f"buyer-{n}", "") for n in made)
        decided = ({"confirmed": [booking(n)], "ended": {}, "zones": [], "users": []} for n in made)
        return (lab.call("settle", json.dumps(told), empty=empty) for told in decided)

    yield "reserve", "OK", reserve
    yield "reserve, sold out", "INSUFFICIENT_SEATS", sold_out
    yield "reserve, replayed", "REPLAYED", replay
    yield "get", "OK", on_own("get")
    yield "extend", "OK", on_own("extend", "", "", "", "86400000")
    yield "confirm", "OK", on_own("confirm", "")
    yield "settle", "OK", settle
    yield "release", "OK", on_own("release")
