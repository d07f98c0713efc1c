"""Measuring in turns, A B A B ..., and medians: what disturbs the machine for a while disturbs all of them."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from bench import cpu, openloop, wrk
from bench.cpu import Roots
from bench.openloop import Open
from bench.requests import Request
from dev import interruption


@dataclass(frozen=True)
class Plan:
    """How long and how often; `connections` of the closed loop."""

    rounds: int
    seconds: float
    open_seconds: float
    connections: int
    directory: Path
    say: Callable[[str], None] = print


QUICK = {"rounds": 2, "seconds": 1.0, "open_seconds": 1.5, "connections": 64}
WHOLE = {"rounds": 5, "seconds": 8.0, "open_seconds": 8.0, "connections": 64}
_CAPACITY_S: Final = 2.0
"""Of the closed loop, to know what there is to take a share of."""


@dataclass(frozen=True)
class Subject:
    """One row of a table. `expects`: the status of its answers, 2xx or a refusal. `settle`: after a run, until all its
    work is done (it counts). `renew`: what to send, where each request of a run uses something up: given how many there
    will be at most. `connections` of the closed loop, where they are others than the plan's."""

    name: str
    url: str
    request: Request
    roots: Roots
    expects: int = 201
    settle: Callable[[], None] = lambda: None
    renew: Callable[[int], Request] | None = None
    connections: int | None = None


@dataclass(frozen=True)
class Sample:
    """One run, or the medians of several. `cpu_us`: role -> processor time a request, µs; `driver`: share of a core;
    `cores`: how many of the machine's were busy while it ran, the driver's and everybody else's work included."""

    per_second: float
    cpu_us: dict[str, float]
    p50_ms: float
    p99_ms: float
    driver: float
    cores: float
    failed: int

    @property
    def total_us(self) -> float:
        return sum(self.cpu_us.values())


@dataclass
class Row:
    """All that is known of one subject. `at`: share of capacity -> the open loop at that rate."""

    name: str
    closed: Sample
    at: dict[float, Open] = field(default_factory=dict)


def closed(subject: Subject, plan: Plan, seconds: float, most_per_second: float = 0.0) -> Sample:
    """One run of the closed loop; `most_per_second` may be expected, where each request uses something up. Raises
    `RuntimeError` when the answers are not those expected."""
    interruption.sleep(0)  # Ctrl-C ends it here
    request = subject.renew(int(most_per_second * seconds * 1.5)) if subject.renew else subject.request
    before, busy = cpu.used(subject.roots), cpu.of_the_machine()
    connections = subject.connections or plan.connections
    ran = wrk.run(subject.url, request, plan.directory / "wrk", seconds, connections)
    busy = cpu.of_the_machine() - busy
    subject.settle()
    spent = cpu.since(before, cpu.used(subject.roots))
    refused = ran.refused if subject.expects < 400 else ran.requests - ran.refused
    if refused > ran.requests // 100:
        raise RuntimeError(f"{subject.name}: {refused} of {ran.requests} answers were not {subject.expects}")
    return Sample(
        per_second=ran.per_second,
        cpu_us={role: seconds * 1e6 / max(1, ran.requests) for role, seconds in spent.items()},
        p50_ms=ran.p50_ms,
        p99_ms=ran.p99_ms,
        driver=ran.driver_cpu_s / ran.seconds,
        cores=busy / ran.seconds,
        failed=ran.failed,
    )


def in_turns(subjects: Sequence[Subject], plan: Plan) -> list[Row]:
    """The closed loop for all of them, by turns, after a short warm-up. What uses something up comes last there: the
    others have shown how much of it may be used."""
    fastest = 0.0
    for subject in sorted(subjects, key=lambda subject: subject.renew is not None):
        fastest = max(fastest, closed(subject, plan, 1.0, fastest).per_second)
    taken: dict[str, list[Sample]] = {subject.name: [] for subject in subjects}
    for number in range(plan.rounds):
        for subject in subjects:
            sample = closed(subject, plan, plan.seconds, fastest)
            taken[subject.name].append(sample)
            plan.say(f"    {number + 1}/{plan.rounds} {subject.name}: {sample.per_second:,.0f}/s, {_parts(sample)}")
    return [Row(name, _median(samples)) for name, samples in taken.items()]


def at_fixed_rates(subjects: Sequence[Subject], plan: Plan, shares: Sequence[float]) -> dict[str, dict[float, Open]]:
    """By name and share: the open loop once, at shares of what the closed loop does a moment before, after a warm-up.
    The machine's pace drifts: four fifths of what it did ten minutes ago may be all that it can do."""
    for subject in subjects:
        closed(subject, plan, min(plan.seconds, _CAPACITY_S))
    at: dict[str, dict[float, Open]] = {subject.name: {} for subject in subjects}
    for subject in subjects:
        capacity = closed(subject, plan, min(plan.seconds, _CAPACITY_S)).per_second
        for share in shares:
            rate = max(1.0, capacity * share)
            ran = openloop.run(subject.url, subject.request, plan.directory / "open", rate, plan.open_seconds)
            subject.settle()
            at[subject.name][share] = replace(ran, rate=rate)
            plan.say(
                f"    {subject.name} at {share:.0%} ({rate:,.0f}/s): p50 {ran.p50_ms:.1f}, p99 {ran.p99_ms:.1f}, "
                f"p99.9 {ran.p999_ms:.1f} ms, {ran.failed} failed, driver {ran.cpu:.0%} of a core"
            )
    return at


def middle(rounds: Sequence[Sequence[Row]]) -> list[Row]:
    """The medians of rounds that were measured apart, with the same rows in each."""
    return [
        Row(
            same[0].name,
            _median([row.closed for row in same]),
            {share: _median_open([row.at[share] for row in same]) for share in same[0].at},
        )
        for same in zip(*rounds, strict=True)
    ]


def _parts(sample: Sample) -> str:
    parts = ", ".join(f"{role} {us:.0f}" for role, us in sample.cpu_us.items())
    return f"{sample.total_us:.0f} µs ({parts}), driver {sample.driver:.0%}, {sample.cores:.2f} cores busy"


def _median(samples: Sequence[Sample]) -> Sample:
    def middle(of: Callable[[Sample], float]) -> float:
        return statistics.median(of(sample) for sample in samples)

    return Sample(
        per_second=middle(lambda s: s.per_second),
        cpu_us={role: statistics.median(s.cpu_us[role] for s in samples) for role in samples[0].cpu_us},
        p50_ms=middle(lambda s: s.p50_ms),
        p99_ms=middle(lambda s: s.p99_ms),
        driver=middle(lambda s: s.driver),
        cores=middle(lambda s: s.cores),
        failed=sum(s.failed for s in samples),
    )


def _median_open(runs: Sequence[Open]) -> Open:
    def middle(name: str) -> float:
        return float(statistics.median(getattr(run, name) for run in runs))

    names = ("rate", "p50_ms", "p99_ms", "p999_ms", "late_p99_ms", "cpu")
    status: dict[str, int] = {}
    for run in runs:
        for code, count in run.status.items():
            status[code] = status.get(code, 0) + count
    return replace(
        runs[0],
        **{name: middle(name) for name in names},
        sent=sum(run.sent for run in runs),
        status=status,
        failed=sum(run.failed for run in runs),
    )
