"""How long Python's garbage collector stops the web process when it looks at everything, before and after
gunicorn.conf.py has frozen what was loaded. In a process of its own that loads the application as a worker does."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from bench.measure import Plan
from dev.process import ROOT


@dataclass(frozen=True)
class Pause:
    """Medians, ms of processor time of one full collection; `objects`: how many the loaded application has."""

    objects: int
    before_ms: float
    after_ms: float


def run(plan: Plan, say: Callable[[str], None]) -> Pause:
    """Raises `RuntimeError` when that fails."""
    settings = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",  # neither is asked: nothing is started
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "AUTH_MODE": "gateway",
        "ADMIN_TOKEN": "a-token-of-the-benchmark",
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.collector", str(plan.rounds)],
        cwd=ROOT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"bench.collector failed: {done.stderr[-1000:]}")
    pause = Pause(**json.loads(done.stdout.splitlines()[-1]))
    say(f"    a full collection: {pause.before_ms:.1f} ms over {pause.objects:,} objects, then {pause.after_ms:.2f} ms")
    return pause


def _measured(rounds: int) -> Pause:
    import gc
    import runpy
    import statistics
    import time

    from app.factory import create_app

    def collection_ms() -> float:
        since = time.process_time()
        gc.collect()
        return (time.process_time() - since) * 1e3

    loaded = create_app()
    collection_ms()
    before = statistics.median(collection_ms() for _ in range(rounds))
    objects = len(gc.get_objects())
    runpy.run_path("gunicorn.conf.py")["spare_what_is_loaded"]()
    after = statistics.median(collection_ms() for _ in range(rounds))
    del loaded
    return Pause(objects, before, after)


if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()
    told = _measured(int(sys.argv[1]))
    print(json.dumps({"objects": told.objects, "before_ms": told.before_ms, "after_ms": told.after_ms}))
