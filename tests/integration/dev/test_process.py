"""The base of every real process: whom it signals, and whom it leaves alone."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dev.errors import ProcessFailed
from dev.pidfile import Identity, birth
from dev.process import ROOT, Process

SLEEP = "import time; time.sleep(600)"


class Script(Process):
    """A Python program as a process."""

    name = "script"

    def __init__(self, directory: Path, source: str = SLEEP) -> None:
        super().__init__(directory)
        self.source = source

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.source]


class Talker(Script):
    """Ready once it has said so."""

    def ready(self) -> bool:
        return "ready" in self.log.read_text()


STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); {SLEEP}"
PARENT = (
    f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', '{SLEEP}']); print('ready', flush=True); {SLEEP}"
)


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    script = Script(tmp_path / "script")
    yield script
    script.erase()


@pytest.fixture
def stranger() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that somebody else started."""
    child = subprocess.Popen([sys.executable, "-c", SLEEP])
    yield child
    child.kill()
    child.wait()


def eventually(fact: object, timeout_s: float = 5.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not fact():  # type: ignore[operator]
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_it_starts_once_and_stops(script: Script) -> None:
    assert script.start()
    pid = script.pid
    assert pid is not None
    assert not script.start()
    assert script.pid == pid
    assert script.stop()
    assert not script.running
    assert script.pid is None
    assert not psutil.pid_exists(pid)


def test_another_object_finds_and_stops_it(script: Script) -> None:
    script.start()
    other = Script(script.directory)
    assert other.pid == script.pid
    assert other.stop()
    assert not script.running


def test_a_pid_that_was_given_to_a_stranger_is_never_signalled(
    script: Script, stranger: "subprocess.Popen[bytes]"
) -> None:
    script.directory.mkdir()
    Identity(stranger.pid, "some other boot/1", "mark").write(script.directory / "pid")
    assert not script.running
    script.pause()
    script.kill()
    script.stop()
    assert stranger.poll() is None
    assert psutil.Process(stranger.pid).status() != psutil.STATUS_STOPPED


def test_control_the_same_pid_with_its_right_birth_is(script: Script, stranger: "subprocess.Popen[bytes]") -> None:
    script.directory.mkdir()
    Identity(stranger.pid, birth(stranger.pid) or "", "mark").write(script.directory / "pid")
    script.kill()
    assert stranger.wait(timeout=5) == -9


def test_a_file_that_is_no_pid_file_stops_nothing(script: Script) -> None:
    script.directory.mkdir()
    (script.directory / "pid").write_text("1\n")
    assert not script.running
    script.stop()
    assert script.start()


def test_what_ignores_sigterm_is_killed_after_the_timeout(tmp_path: Path) -> None:
    script = Talker(tmp_path / "script", STUBBORN)
    script.start()
    script.wait_until_ready(10)
    assert not script.stop(timeout_s=0.3)
    assert not script.running


def test_a_paused_process_can_be_stopped(script: Script) -> None:
    script.start()
    script.pause()
    assert script.stop(timeout_s=5)


def test_kill_takes_the_children_along(tmp_path: Path) -> None:
    script = Talker(tmp_path / "script", PARENT)
    script.start()
    script.wait_until_ready(10)
    assert script.pid is not None
    (child,) = psutil.Process(script.pid).children()
    script.kill()
    assert eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_children_that_outlived_their_parent_end_at_the_next_start(tmp_path: Path) -> None:
    script = Talker(tmp_path / "script", PARENT)
    script.start()
    script.wait_until_ready(10)
    assert script.pid is not None
    parent = psutil.Process(script.pid)
    (orphan,) = parent.children()
    parent.kill()
    assert eventually(lambda: not script.running)
    assert orphan.is_running()
    script.start()
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
    script.erase()


def test_an_early_end_is_told_with_the_end_of_the_log(tmp_path: Path) -> None:
    script = Talker(tmp_path / "script", "raise SystemExit('no such luck')")
    script.start()
    with pytest.raises(ProcessFailed, match="no such luck"):
        script.wait_until_ready(10)


def test_waiting_is_bounded(tmp_path: Path) -> None:
    script = Talker(tmp_path / "script")
    script.start()
    with pytest.raises(ProcessFailed, match=r"not ready within 0\.2 s"):
        script.wait_until_ready(0.2)
    script.erase()


def test_a_started_process_keeps_nobodys_standard_output(tmp_path: Path) -> None:
    """`make up | cat` ends although what it started goes on."""
    starter = f"""
from pathlib import Path
from tests.integration.dev.test_process import Script
Script(Path({str(tmp_path / "script")!r})).start()
"""
    done = subprocess.run([sys.executable, "-c", starter], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    script = Script(tmp_path / "script")
    assert script.running
    script.erase()
