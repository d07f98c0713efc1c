"""An hour of steady load, compressed: reserved and left to expire, over and over. What every process holds at the end,
beside what it held after the first tenth.

What Redis keeps for a while after a reservation has ended (an hour, a day with its key) would be gone after the hour
that is compressed here: it is removed before Redis is looked at. Postgres' shared buffers are a fixed allotment that
fills: what counts is what its processes have of their own. A pool opens another session when it needs one more than
ever before, as many as its size admits: those are told by themselves."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bench import cpu, requests, wrk
from bench.measure import Plan
from bench.requests import N
from bench.reserve import PATH, order
from bench.system import System
from dev import interruption

_TENTHS: Final = 10
_RUN_S: Final = 5.0
_PATIENCE_S: Final = 600.0
_LOOKS: Final = 10
"""A second apart."""
_Memory = dict[str, dict[int, int]]
"""Role -> process -> bytes."""


@dataclass(frozen=True)
class Held:
    """Bytes of one role's processes after a tenth of the cycles and after all of them, of those that were there both
    times; and of those that have come in between."""

    role: str
    cycles: int
    first: int
    last: int
    come: list[int]

    @property
    def growth(self) -> float:
        return self.last / self.first - 1


def run(system: System, plan: Plan, cycles: int, say: Callable[[str], None]) -> list[Held]:
    """Raises `RuntimeError` when what has expired does not come back."""
    event = system.open_event(f"cycles-{time.time_ns()}", hold_seconds=1, hold_seconds_max=1)
    request = requests.of("POST", PATH, {"X-User-ID": f"buyer-{N}"}, order(event))
    roots = system.roots(system.stack.web, "redis", "postgres", "worker", "broker")
    done = 0
    first: _Memory = {}
    for tenth in range(1, _TENTHS + 1):
        while done < cycles * tenth // _TENTHS:
            ran = wrk.run(system.stack.base_url, request, plan.directory / "wrk", _RUN_S, plan.connections)
            if ran.refused + ran.failed > ran.requests // 20:
                raise RuntimeError(f"{ran.refused} refused, {ran.failed} without an answer")
            done += ran.requests - ran.refused
        _until_all_has_expired(system, event)
        held = _at_rest(system, roots)
        first = first or held
        sizes = {role: sum(processes.values()) / 2**20 for role, processes in held.items()}
        say(f"    {done:,} cycles: " + ", ".join(f"{role} {size:.0f} MiB" for role, size in sizes.items()))
    return [_compared(role, done, first[role], held[role]) for role in held]


def _compared(role: str, cycles: int, first: dict[int, int], last: dict[int, int]) -> Held:
    both = first.keys() & last.keys()
    come = [last[pid] for pid in last.keys() - first.keys()]
    return Held(role, cycles, sum(first[pid] for pid in both), sum(last[pid] for pid in both), come)


def _at_rest(system: System, roots: cpu.Roots) -> _Memory:
    """The least of some looks: a vacuum under way is no growth, nor are tables of Redis that are yet to shrink."""
    _forget_what_has_ended(system)
    looks = []
    for _ in range(_LOOKS):
        interruption.sleep(1)
        of_redis = int(system.redis.info("memory")["used_memory"])
        looks.append(cpu.own_memory(roots) | {"redis": dict.fromkeys(roots["redis"], of_redis)})
    there_always = {role: set.intersection(*(set(look[role]) for look in looks)) for role in roots}
    return {role: {pid: min(look[role][pid] for look in looks) for pid in pids} for role, pids in there_always.items()}


def _until_all_has_expired(system: System, event: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while _held(system, event):
        if time.monotonic() > deadline:
            raise RuntimeError("what has expired does not come back")
        interruption.sleep(0.2)
    system.drain()


def _held(system: System, event: str) -> int:
    _, told = system.ask("GET", "/admin/inventory?event_id=" + event)
    return sum(zone["redis"]["held"] for zone in told["data"])


def _forget_what_has_ended(system: System) -> None:
    """And what was slow: Redis keeps 128 of those commands with their arguments, and comes to so many slowly."""
    system.redis.slowlog_reset()
    server: Any = system.raw  # names of keys are no texts
    cursor = "0"
    while True:
        interruption.sleep(0)
        cursor, found = server.execute_command("SCAN", cursor, "MATCH", "{*}:*", "COUNT", 2000)
        pipe = server.pipeline(transaction=False)
        for key in found:
            pipe.pttl(key)
        kept = [key for key, left in zip(found, pipe.execute(), strict=True) if left > 0]
        if kept:
            server.unlink(*kept)
        if int(cursor) == 0:
            return
