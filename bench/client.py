"""What a script call costs the web process: redis-py's pool beside the connection that all greenlets share.

As a program it is such a process, patched by gevent, on a Redis of the lab: it measures by turns, prints the figures.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bench.lab import Lab
from bench.measure import Plan

GREENLETS: Final = 64
_BOOKING: Final = "0198f3a2-7c41-8007-9d2e-000000000000"


@dataclass(frozen=True)
class Client:
    """Medians, µs of the web process a call; `calls` of them at once."""

    pool_us: float
    shared_us: float


def run(lab: Lab, plan: Plan, say: Callable[[str], None]) -> Client:
    """In a process of its own. Raises `RuntimeError` when that fails."""
    lab.empty()
    task = {"url": lab.url, "key": lab.key, "rounds": plan.rounds, "calls": 20_000}
    done = subprocess.run(
        [sys.executable, "-m", "bench.client"],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"bench.client failed: {done.stderr[-1000:]}")
    cost = Client(**json.loads(done.stdout))
    say(f"    a script call at {GREENLETS} greenlets: pool {cost.pool_us:.1f} µs, shared {cost.shared_us:.1f} µs")
    return cost


def _measured(task: dict[str, Any]) -> Client:
    import statistics

    pairs = [(_cost(task, 0), _cost(task, 4_000)) for _ in range(task["rounds"])]
    return Client(statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs))


def _cost(task: dict[str, Any], calls_max: int) -> float:
    """Each call looks for a booking that is not there: the shortest of the hot scripts."""
    import gevent

    from app.stores import keys
    from app.stores.breaker import Breaker
    from app.stores.lua import Redis

    def limit(seconds: float) -> Any:
        return gevent.Timeout(seconds, TimeoutError)

    # Patient: on a loaded machine the pool's 64 connections take a while to be made.
    redis = Redis(task["url"], GREENLETS, 10, Breaker("Redis", 5, 0.25), limit, calls_max)

    def ask(times: int) -> None:
        for _ in range(times):
            redis.run("get", task["key"], lambda run_id: (keys.head(1, run_id), "", _BOOKING, "buyer-000000000000"))

    def together(times: int) -> None:
        gevent.joinall([gevent.spawn(ask, times) for _ in range(GREENLETS)], raise_error=True)

    together(1)  # connects
    before = time.process_time()
    together(task["calls"] // GREENLETS)
    spent = time.process_time() - before
    redis.close()
    return spent * 1e6 / float(task["calls"] // GREENLETS * GREENLETS)


if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()
    told = _measured(json.load(sys.stdin))
    print(json.dumps({"pool_us": told.pool_us, "shared_us": told.shared_us}))
