"""Where a reserve's processor time goes in the web process: py-spy looks at it a thousand times a second under load."""

import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.measure import Plan, Subject, closed
from bench.reserve import reserving
from bench.system import System

_RATE_HZ: Final = 1000
_LINES: Final = 20
_FLOORS: Final = ("serving/", "app/api/", "app/services/", "app/domain/", "app/stores/", "app/")
_UNCOUNTED_S: Final = 1.0
"""py-spy takes its time to begin and to end: the load lasts so much longer than it looks."""


@dataclass(frozen=True)
class Part:
    """µs of a reserve that were seen in it, and below it where it says so."""

    name: str
    cost_us: float


@dataclass(frozen=True)
class Profile:
    """`floors` and `lines` by the innermost frame; `functions` of ours with all that they call."""

    cost_us: float
    samples: int
    floors: list[Part]
    functions: list[Part]
    lines: list[Part]


def run(system: System, plan: Plan, say: Callable[[str], None]) -> Profile:
    """Raises `RuntimeError` where the system does not let py-spy look (`kernel.yama.ptrace_scope`)."""
    event = system.open_event(f"profile-{time.time_ns()}", max_per_user=2**31 - 1)
    web = system.stack.web
    subject = Subject("reserve", web.base_url, reserving(event), system.roots(web), settle=system.drain)
    warm = closed(subject, plan, 1.0, 0)
    cost = statistics.median(closed(subject, plan, plan.seconds, warm.per_second).total_us for _ in range(plan.rounds))
    stacks = plan.directory / "reserve.stacks"
    (pid,) = web.worker_pids()
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(_look, pid, plan.seconds, stacks)
        closed(subject, plan, plan.seconds + 2 * _UNCOUNTED_S, warm.per_second)
        looking.result()
    profile = _understood(stacks.read_text(), cost)
    say(f"    {profile.samples:,} looks; {cost:.0f} µs a reserve")
    return profile


def _look(pid: int, seconds: float, stacks: Path) -> None:
    """Without stopping it: a process that is stopped for each look is found in system calls more often than it is."""
    time.sleep(_UNCOUNTED_S)
    spy = [str(Path(sys.executable).with_name("py-spy")), "record", "--nonblocking", "--format", "raw"]
    command = [
        *spy,
        "--rate",
        str(_RATE_HZ),
        "--duration",
        str(max(1, round(seconds))),
        "-o",
        str(stacks),
        "-p",
        str(pid),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
    if ran.returncode:
        raise RuntimeError(f"py-spy could not look at {pid}: {(ran.stderr or ran.stdout).strip()}")


def _understood(text: str, cost_us: float) -> Profile:
    lines: Counter[str] = Counter()
    floors: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for line in text.splitlines():
        stack, _, told = line.rpartition(" ")
        frames, count = stack.split(";"), int(told)
        if "gevent/threadpool.py" in stack:  # its threads wait, and are taken for busy
            continue
        lines[frames[-1]] += count
        floors[_floor(frames[-1])] += count
        for function in {frame.rpartition(":")[0] for frame in frames if _floor(frame) in _FLOORS}:
            functions[f"{function})"] += count
    samples = lines.total()

    def parts(counted: Counter[str], most: int) -> list[Part]:
        return [Part(name, count * cost_us / samples) for name, count in counted.most_common(most)]

    return Profile(cost_us, samples, parts(floors, 10), parts(functions, _LINES), parts(lines, _LINES))


def _floor(frame: str) -> str:
    """`Link.call (app/stores/pipe.py:79)` is on the floor `app/stores/`; a library is one of its own."""
    path = frame.rpartition("(")[2]
    return next((floor for floor in _FLOORS if path.startswith(floor)), path.partition("/")[0].partition(":")[0])
