"""A place for the servers of one test session, and the end of those that a killed session left behind."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from dev.pidfile import Identity, birth
from dev.process import Process
from dev.settings import COMPARED

_PREFIX = "holdfast-test-"
_OWNER = "owner"
Server = TypeVar("Server", bound=Process)


@contextmanager
def started(server: Server) -> Iterator[Server]:
    """It answers until the block ends; then nothing is left of it."""
    server.start()
    server.wait_until_ready()
    yield server
    server.erase()


def clean_environment() -> dict[str, str]:
    """This process' environment without settings: a developer's shell may point at the servers of `make run`, or at
    worse; tests use their own."""
    return {name: value for name, value in os.environ.items() if name not in COMPARED}


def make_session_directory() -> Path:
    """A fresh directory outside the checkout, marked as this process'."""
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
    directory.chmod(0o711)  # PostgreSQL's user passes through; what is private below has its own mode
    Identity(os.getpid(), birth(os.getpid()) or "", "").write(directory / _OWNER)
    return directory


def remove_session_directory(directory: Path) -> None:
    """End every process that has its pid file below the directory, then delete it."""
    processes = [Process(pid_file.parent) for pid_file in directory.rglob("pid")]
    for process in processes:
        if process.directory.name in ("web", "worker"):
            process.stop(timeout_s=5)  # they may have files elsewhere to tidy up
    for process in processes:
        process.kill()  # a server has not: its data goes with the directory
        process.erase()
    shutil.rmtree(directory, ignore_errors=True)


def remove_dead_sessions() -> None:
    """The servers and data of test sessions that were killed before they could clean up."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = Identity.read(directory / _OWNER)
        if owner is not None and owner.process() is None:
            remove_session_directory(directory)


def environment(**settings: str) -> Mapping[str, str]:
    """A clean environment with these settings."""
    return clean_environment() | settings
