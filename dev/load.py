"""`python -m dev.load [SCENARIO]`: the dirty scenarios as load, on a system of its own in .run/load, whose servers
it kills where a scenario asks for it; or, where BASE_URL says so, on another, whose servers it leaves alone."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

from dev import faults, interruption, k6, settings
from dev.errors import DevError, Interrupted
from dev.process import ROOT
from dev.provider import Provider
from dev.stack import Stack

LOAD = ROOT / "tests" / "load"
DIRECTORY = ROOT / ".run" / "load"
_TIMEOUT_S = 600
_PROVIDER = {"PROVIDER_KNOWN_AFTER_S": "1", "PROVIDER_HANGS_S": "2"}
_PAYMENTS = {"PAYMENTS": "http", "PAYMENT_TIMEOUT_MS": "500", "PAYMENT_BOUND_SECONDS": "5", "WEB_CONCURRENCY": "2"}


def _say(line: str) -> None:
    print(f"==> {line}", flush=True)


@contextmanager
def _own_system() -> Iterator[dict[str, str]]:
    """Started for the load, and stopped after it; what the load needs to know of it."""
    provider = Provider(DIRECTORY / "provider", _PROVIDER)
    provider.start()
    given = {name: value for name, value in settings.environment().items() if name not in settings.COMPARED}
    stack = Stack(DIRECTORY, {**given, **_PAYMENTS, "PAYMENTS_URL": provider.url}, _say)
    try:
        provider.wait_until_ready()
        stack.up()
        with faults.serving(stack) as faults_url:
            yield {**stack.settings, "BASE_URL": stack.base_url, "FAULTS_URL": faults_url, "DEMO_PROVIDER": "1"}
    finally:
        stack.down()
        provider.stop()


def _run(program: Path, scenario: str, told: Mapping[str, str], is_ours: bool) -> int:
    """k6's exit status: 0, or 99 where a threshold is crossed."""
    setup = [sys.executable, str(LOAD / "setup_dirty_scenarios.py")]
    for command in [[*setup, "reset"], setup] if is_ours else [setup]:
        subprocess.run(command, env=dict(told), timeout=_TIMEOUT_S, check=True)
    log = DIRECTORY / "k6.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    environment = {**told, "SCENARIO": scenario, "K6_NO_USAGE_REPORT": "true"}
    command = [str(program), "run", "--quiet", f"--log-output=file={log}", "dirty_scenarios.js"]
    ended = subprocess.run(command, cwd=LOAD, env=environment, timeout=_TIMEOUT_S)
    if ended.returncode:
        _say(f"k6 ended with {ended.returncode}; what it saw: {log}")
    return ended.returncode


def main() -> int:
    scenario = sys.argv[1] if len(sys.argv) > 1 else ""
    told = settings.environment()
    is_ours = not told.get("BASE_URL")
    interruption.install()
    try:
        program = k6.find(_say)
        with _own_system() if is_ours else nullcontext(told) as known:
            return _run(program, scenario, known, is_ours)
    except Interrupted:
        return 130
    except (DevError, subprocess.SubprocessError) as error:
        print(f"make load: {error}", file=sys.stderr, flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
