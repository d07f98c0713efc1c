"""What grows: the cost of a reserve with the zones and the live reservations, and the memory of each of them.

Now and then Redis moves its keys to a table twice as large, or writes its file anew: some ten thousand reserves then
cost up to twice as much. A cost at a number is looked at when it does neither; the mean of all up to there has it.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from bench.lab import Lab
from bench.measure import Plan

_ZONES: Final = (1, 1_000, 100_000)
_LIVE: Final = (0, 100_000, 1_000_000)
_CALLS: Final = 4_000
_FILL: Final = 50_000
"""Reservations at a time, so that the outbox is trimmed in between."""


@dataclass(frozen=True)
class Grown:
    """With so many zones and live reservations: Redis' µs a reserve and an empty script's, and bytes a reservation.
    `mean_us`: of all reserves from the first to the last."""

    zones: int
    live: int
    reserve_us: float
    mean_us: float
    empty_us: float
    bytes_each: float


class _Buyers:
    """Each reserves once, in a zone at random."""

    def __init__(self, lab: Lab, zones: int) -> None:
        self._lab, self._zones, self._random = lab, zones, Random(4711)
        self._next = 0

    def calls(self, count: int, empty: bool = False) -> Iterator[Sequence[str | bytes]]:
        for _ in range(count):
            self._next += 1
            zone = f"z{self._random.randrange(self._zones)}"
            yield self._lab.call("reserve", *self._lab.reserve(zone, f"{self._next:012}"), empty=empty)


def run(lab: Lab, plan: Plan, say: Callable[[str], None]) -> list[Grown]:
    """Each number of zones empty, then one zone filling up. A quick plan leaves the largest out."""
    quick = plan.rounds < 5
    grown = [_with(lab, plan, zones, [0])[0] for zones in _ZONES[: 2 if quick else 3] if zones > 1]
    grown = [*_with(lab, plan, 1, _LIVE[: 2 if quick else 3]), *grown]
    for one in grown:
        say(
            f"    {one.zones:,} zones, {one.live:,} live: reserve {one.reserve_us:.1f} µs (mean {one.mean_us:.1f}), "
            f"empty {one.empty_us:.1f}, {one.bytes_each:.0f} bytes a reservation"
        )
    return grown


def _with(lab: Lab, plan: Plan, zones: int, levels: Sequence[int]) -> list[Grown]:
    lab.empty()
    lab.open_zones([f"z{number}" for number in range(zones)])
    nothing, buyers, live, spent, grown = lab.memory(), _Buyers(lab, zones), 0, 0.0, []

    def reserve(count: int) -> float:
        nonlocal live, spent
        cost = lab.pipelined(buyers.calls(count))
        live, spent = live + count, spent + cost * count
        return cost

    for level in levels:
        while live < level:
            reserve(min(_FILL, level - live))
            lab.trim()
        held = lab.memory() - nothing
        pairs = []
        for _ in range(plan.rounds):
            lab.come_to_rest()
            pairs.append((reserve(_CALLS), lab.pipelined(buyers.calls(_CALLS, empty=True))))
            lab.trim()
        each = held / level if level else (lab.memory() - nothing) / live
        cost, empty = (statistics.median(pair[at] for pair in pairs) for at in (0, 1))
        grown.append(Grown(zones, level, cost, spent / live, empty, each))
    return grown
