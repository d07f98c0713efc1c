"""One real process: started, stopped, killed, paused, resumed and waited for.

psutil does the looking and signalling. A process library that holds its children (mirakuru and its like) does not
serve: `make up` ends while its processes go on, and a later `make down` has to find them again by their pid files.
"""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import psutil

from dev import interruption
from dev.accounts import Account
from dev.errors import ProcessFailed, with_tail
from dev.pidfile import MARK, Identity, birth

ROOT = Path(__file__).resolve().parent.parent
_POLL_S = 0.03
_KILL_TIMEOUT_S = 10.0
_LOG_MAX_BYTES = 20 * 1024 * 1024


class Process:
    """A process with a directory of its own for pid file, log and data.

    Several objects, also in several processes, may speak of the same running process: the pid file is the truth.
    Only what was started here is ever signalled: the pid file holds the birth of the process beside its pid.
    """

    name: ClassVar[str] = "process"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    stop_timeout_s: ClassVar[float] = 15.0
    ready_timeout_s: ClassVar[float] = 30.0

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self._child: subprocess.Popen[bytes] | None = None

    # --- what a subclass says ---

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """The whole environment of the process; ours unless a subclass says otherwise."""
        return dict(os.environ)

    def account(self) -> Account | None:
        """The user to run as; None for ourselves."""
        return None

    def prepare(self) -> None:
        """Before each start; may raise DevError."""

    def ready(self) -> bool:
        """Does it do its work? Asked again and again, so it must answer within a few seconds."""
        return True

    # --- what is known ---

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def pid(self) -> int | None:
        """The pid of the running process; None when it does not run."""
        process = self._process()
        return None if process is None else process.pid

    @property
    def running(self) -> bool:
        return self._process() is not None

    def running_environment(self) -> dict[str, str]:
        """The environment that the running process was started with; empty when it does not run."""
        process = self._process()
        try:
            return {} if process is None else process.environ()
        except psutil.Error:
            return {}

    # --- what can be done to it ---

    def start(self) -> bool:
        """Start it, without waiting until it is ready. False when it was running already. Raises DevError."""
        if self.running:
            return False
        self.directory.mkdir(parents=True, exist_ok=True)
        self._kill(self._leftovers())  # children of one that was killed may still hold its port
        self.prepare()
        self._cut_log()
        mark = secrets.token_hex(16)
        account = self.account()
        with self.log.open("ab") as log:
            # A session of its own: a Ctrl-C at the terminal must not reach it before we stop it in the right order.
            self._child = subprocess.Popen(
                self.command(),
                cwd=ROOT if account is None else "/",
                env={**self.environment(), MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **({} if account is None else account.popen_arguments()),
            )
        Identity(self._child.pid, birth(self._child.pid) or "gone", mark).write(self._pid_file)
        return True

    def wait_until_ready(self, timeout_s: float | None = None) -> None:
        """Wait until ready() holds. Raises ProcessFailed when it ends or is late, Interrupted on Ctrl-C."""
        timeout_s = self.ready_timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + timeout_s
        while not self.ready():
            if not self.running:
                raise ProcessFailed(with_tail(f"{self.name} ended instead of becoming ready.", self.log))
            if time.monotonic() > deadline:
                raise ProcessFailed(with_tail(f"{self.name} was not ready within {timeout_s:g} s.", self.log))
            interruption.sleep(_POLL_S)

    def stop(self, timeout_s: float | None = None) -> bool:
        """Ask it to end; kill it when it has not after the timeout. True when that was not needed."""
        process = self._process()
        ended = True
        if process is not None:
            tree = self._tree(process)
            _signal([process], self.stop_signal)
            _signal(tree, signal.SIGCONT)  # a paused process would not hear
            ended = self._wait([process], self.stop_timeout_s if timeout_s is None else timeout_s)
            self._kill(tree)
        self._kill(self._leftovers())
        self._pid_file.unlink(missing_ok=True)
        return ended

    def kill(self) -> None:
        """SIGKILL to it and all its children at once. Nothing when it does not run."""
        process = self._process()
        if process is not None:
            _signal([process], signal.SIGSTOP)  # so that it starts no child between our look and our blow
            self._kill(self._tree(process))

    def pause(self) -> None:
        """SIGSTOP to it and its children: connections stay open, nothing answers."""
        process = self._process()
        if process is not None:
            _signal([process], signal.SIGSTOP)
            _signal(self._tree(process), signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: the end of pause()."""
        process = self._process()
        if process is not None:
            _signal(reversed(self._tree(process)), signal.SIGCONT)

    def erase(self) -> None:
        """Stop it and delete everything that it kept."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- inside ---

    @property
    def _pid_file(self) -> Path:
        return self.directory / "pid"

    def _process(self) -> psutil.Process | None:
        if self._child is not None:
            self._child.poll()  # reaps it
        identity = Identity.read(self._pid_file)
        return None if identity is None else identity.process()

    def _tree(self, process: psutil.Process) -> list[psutil.Process]:
        try:
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _leftovers(self) -> list[psutil.Process]:
        identity = Identity.read(self._pid_file)
        return [] if identity is None else identity.leftovers()

    def _kill(self, processes: Iterable[psutil.Process]) -> None:
        processes = list(processes)
        _signal(processes, signal.SIGKILL)
        if not self._wait(processes, _KILL_TIMEOUT_S):
            raise ProcessFailed(f"{self.name} is still there {_KILL_TIMEOUT_S:g} s after SIGKILL.")

    def _wait(self, processes: list[psutil.Process], timeout_s: float) -> bool:
        """Have all of them ended? Not interruptible: it is how things are stopped."""
        deadline = time.monotonic() + timeout_s
        while any(_alive(process) for process in processes):
            if time.monotonic() > deadline:
                return False
            if self._child is not None:
                self._child.poll()
            time.sleep(_POLL_S)
        return True

    def _cut_log(self) -> None:
        """Keep one old log, so that a checkout used for years does not fill its disk."""
        if self.log.exists() and self.log.stat().st_size > _LOG_MAX_BYTES:
            self.log.replace(self.log.with_suffix(".old"))


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """psutil looks at the birth of each before it signals."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _alive(process: psutil.Process) -> bool:
    try:
        # A zombie has ended: where nobody reaps (a container's pid 1), it stays in the table for ever.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
