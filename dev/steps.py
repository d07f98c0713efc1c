"""Commands that run to their end: initdb, Maven, migrations. Bounded in time, ended by Ctrl-C."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from dev import interruption
from dev.accounts import Account
from dev.errors import Interrupted, StepFailed, with_tail

_POLL_S = 0.03


def run(
    command: list[str],
    *,
    log: Path,
    timeout_s: float,
    cwd: Path | None = None,
    environment: dict[str, str] | None = None,
    account: Account | None = None,
) -> str:
    """Run the command and return what it printed, which is also kept in `log`.

    Raises StepFailed with the end of the log when it fails, Interrupted (after ending it) on Ctrl-C.
    """
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(os.environ) if environment is None else environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **({} if account is None else account.popen_arguments()),
        )
    what = " ".join(command[:6])
    try:
        _wait(child, timeout_s, what)
    except (Interrupted, StepFailed):
        _end(child)
        raise
    if child.returncode != 0:
        raise StepFailed(with_tail(f"`{what}` failed (exit code {child.returncode}).", log))
    return log.read_text(errors="replace")


def _wait(child: "subprocess.Popen[bytes]", timeout_s: float, what: str) -> None:
    deadline = time.monotonic() + timeout_s
    while child.poll() is None:
        if time.monotonic() > deadline:
            raise StepFailed(f"`{what}` took longer than {timeout_s:g} s and was ended.")
        interruption.sleep(_POLL_S)


def _end(child: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # not reaped yet, so the number is still its own
    child.wait(timeout=10)
