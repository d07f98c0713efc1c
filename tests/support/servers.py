"""A place for the servers of one test session, and the end of those that a killed session left behind."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dev.pidfile import Identity, birth
from dev.process import Process

_PREFIX = "holdfast-test-"
_OWNER = "owner"
# A developer's shell may point at the servers of `make run`, or at worse; tests use their own.
_OURS = (
    "DATABASE_URL",
    "REDIS_URL",
    "KAFKA_BOOTSTRAP_SERVERS",
    "ADMIN_TOKEN",
    "AUTH_MODE",
    "BIND",
    "PAYMENTS",
    "SHARDS",
)


def clean_environment() -> dict[str, str]:
    """This process' environment without the settings of some other Holdfast."""
    return {name: value for name, value in os.environ.items() if name not in _OURS and not name.startswith("JWT_")}


def make_session_directory() -> Path:
    """A fresh directory outside the checkout, marked as this process'."""
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
    directory.chmod(0o711)  # PostgreSQL's user passes through; what is private below has its own mode
    Identity(os.getpid(), birth(os.getpid()) or "", "").write(directory / _OWNER)
    return directory


def remove_session_directory(directory: Path) -> None:
    """Stop every process that has its pid file below the directory, then delete it."""
    for pid_file in sorted(directory.rglob("pid")):
        Process(pid_file.parent).stop(timeout_s=5)
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
