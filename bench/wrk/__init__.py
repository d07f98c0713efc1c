"""wrk, the closed loop: so many connections, each asks again as soon as it is answered."""

import json
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bench import requests
from bench.requests import Request

_SCRIPT: Final = Path(__file__).with_name("request.lua")


@dataclass(frozen=True)
class Closed:
    """What wrk counted. `refused`: answers of 400 and above; `failed`: no answer."""

    requests: int
    seconds: float
    refused: int
    failed: int
    p50_ms: float
    p99_ms: float
    driver_cpu_s: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def run(url: str, request: Request, directory: Path, seconds: float, connections: int) -> Closed:
    """Runs it to its end. Raises `RuntimeError` where it cannot tell what it counted."""
    program = shutil.which("wrk")
    if program is None:
        raise RuntimeError("wrk is not installed: dev/bootstrap.sh bench")
    text, lines = request.write(directory, urlsplit(url).netloc)
    first = str(requests.fresh_base())
    # wrk counts in whole seconds.
    command = [program, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "5s"]
    command += ["-s", str(_SCRIPT), url, "--", str(text), str(lines), first]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not told:
        raise RuntimeError(f"wrk failed: {done.stdout[-500:]}{done.stderr[-500:]}")
    counted = json.loads(told[0].removeprefix("RESULT "))
    return Closed(
        requests=counted["requests"],
        seconds=counted["duration_us"] / 1e6,
        refused=counted["status"],
        failed=sum(counted[kind] for kind in ("connect", "read", "write", "timeout")),
        p50_ms=counted["p50_us"] / 1e3,
        p99_ms=counted["p99_us"] / 1e3,
        driver_cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )
