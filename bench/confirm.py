"""Confirms of one hot zone and of a thousand: those that come together share a call, or each has its own.

In a process of its own with greenlets, as the web process is, without HTTP. Each confirm is durable before it is
answered.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from bench.measure import Plan
from bench.system import System
from dev.process import ROOT

_AT_ONCE: Final = 128
_CONFIRMS: Final = {"together": 4_000, "one call each": 800}
"""In a run: the slower way need not take five times as long."""
_SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "together": {},
    "one call each": {"confirm_batch": 1, "confirm_lanes": 8},
}
_EVENTS: Final = 50
"""The thousand zones are of so many events: all shards have some."""
_CHILD: Final = "from gevent import monkey; monkey.patch_all(); from bench import confirm; confirm.serve()"
_PATIENCE_MS: Final = 20_000
"""Of the stores: what is slow is measured, not refused."""


@dataclass(frozen=True)
class Confirmed:
    """One way, on so many zones: medians of all runs. `cpu_us`: role -> µs a confirm."""

    way: str
    zones: int
    per_second: float
    cpu_us: dict[str, float]
    p50_ms: float
    p99_ms: float


def run(system: System, plan: Plan, say: Callable[[str], None]) -> list[Confirmed]:
    """By turns; the worker is at rest when a run begins."""
    say("confirm, together and one call each")
    hot = [system.open_event(f"hot-{time.time_ns()}")]
    many = [
        system.open_event(f"many-{number}-{time.time_ns()}", [f"z{zone}" for zone in range(1000 // _EVENTS)])
        for number in range(_EVENTS)
    ]
    rows: dict[tuple[str, int], list[Confirmed]] = {}
    with _Child(system) as child:
        for number in range(plan.rounds):
            for events, zones in ((hot, ["A"]), (many, [f"z{zone}" for zone in range(1000 // _EVENTS)])):
                for way in _SETTINGS:
                    row = child.confirm(way, events, zones, _CONFIRMS[way])
                    rows.setdefault((way, row.zones), []).append(row)
                    system.drain()
                    say(f"    {number + 1}/{plan.rounds} {way}, {row.zones} zones: {row.per_second:,.0f}/s, "
                        f"{sum(row.cpu_us.values()):.0f} µs ({row.cpu_us}), p99 {row.p99_ms:.0f} ms")  # fmt: skip
    return [_median(samples) for samples in rows.values()]


def _median(samples: Sequence[Confirmed]) -> Confirmed:
    def middle(of: Callable[[Confirmed], float]) -> float:
        return float(statistics.median(of(sample) for sample in samples))

    return replace(
        samples[0],
        per_second=middle(lambda s: s.per_second),
        cpu_us={role: middle(lambda s, role=role: s.cpu_us[role]) for role in samples[0].cpu_us},  # type: ignore[misc]
        p50_ms=middle(lambda s: s.p50_ms),
        p99_ms=middle(lambda s: s.p99_ms),
    )


class _Child:
    """The process that confirms; it is told a line and answers a line."""

    def __init__(self, system: System) -> None:
        stack = system.stack
        self._roots = {"redis": [stack.redis.pid or 0], "postgres": [stack.postgres.pid or 0]}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            cwd=ROOT,
            env=dict(stack.settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "_Child":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(timeout=30)

    def confirm(self, way: str, events: Sequence[str], zones: Sequence[str], count: int) -> Confirmed:
        """Raises `RuntimeError` when the process has ended."""
        told = {"way": way, "events": events, "zones": zones, "count": count, "roots": self._roots}
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        if not (line := self._process.stdout.readline()):
            raise RuntimeError("the process that confirms has ended")
        return Confirmed(**json.loads(line))


def serve() -> None:
    """The child: a wiring for each way, and a line of figures for each line that tells what to confirm."""
    from app.settings import Settings
    from app.wiring import Wiring, build

    settings = replace(
        Settings.from_environment(), redis_timeout_ms=_PATIENCE_MS, postgres_timeout_ms=_PATIENCE_MS, log_level="ERROR"
    )
    ways: dict[str, Wiring] = {}
    for way, changed in _SETTINGS.items():
        ways[way] = build(replace(settings, **changed))
        ways[way].start()
    for line in sys.stdin:
        told = json.loads(line)
        print(json.dumps(_confirm(ways[told["way"]], told)), flush=True)


def _confirm(shop: Any, told: dict[str, Any]) -> dict[str, Any]:
    import os

    from gevent.pool import Pool

    from app.domain.model import Order
    from bench import cpu

    events, zones, now = told["events"], told["zones"], time.time_ns()

    def reserve(number: int) -> Any:
        order = Order(events[number % len(events)], zones[number // len(events) % len(zones)], 1)
        return shop.reserve(f"buyer-{now}-{number}", order).booking

    def confirm(booking: Any) -> float:
        began = time.monotonic()
        shop.confirm(booking.user_id, booking.booking_id, "card")
        return time.monotonic() - began

    def at_rest() -> bool:
        return all(shop.shard_backlog(shard).waiting == 0 for shard in shop.shards)

    held = Pool(_AT_ONCE).map(reserve, range(told["count"]))
    while not at_rest():
        time.sleep(0.1)
    time.sleep(0.5)  # what the relay has carried is recorded
    roots = {"web": [os.getpid()], **told["roots"]}
    before, began = cpu.used(roots), time.monotonic()
    waits = sorted(Pool(_AT_ONCE).map(confirm, held))
    seconds, spent = time.monotonic() - began, cpu.since(before, cpu.used(roots))
    return {
        "way": told["way"],
        "zones": len(events) * len(zones),
        "per_second": len(held) / seconds,
        "cpu_us": {role: used * 1e6 / len(held) for role, used in spent.items()},
        "p50_ms": waits[len(waits) // 2] * 1000,
        "p99_ms": waits[len(waits) * 99 // 100] * 1000,
    }
