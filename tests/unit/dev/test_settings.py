"""What web and worker are told, and the file that remembers it."""

import stat
import subprocess
from pathlib import Path

import pytest

from dev import settings

AWKWARD = {
    "PLAIN": "a",
    "EMPTY": "",
    "SPACES": "two words",
    "QUOTE": "it's",
    "MONEY": "$HOME",
    "EQUALS": "a=b",
    "HASH": "#1",
}


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    settings.write(tmp_path / "env", AWKWARD)
    assert settings.read(tmp_path / "env") == AWKWARD


@pytest.mark.parametrize("name", AWKWARD)
def test_a_shell_reads_the_same(tmp_path: Path, name: str) -> None:
    settings.write(tmp_path / "env", AWKWARD)
    script = f'. "{tmp_path}/env"; printf %s "${name}"'
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout == AWKWARD[name]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    (tmp_path / "env").touch(mode=0o644)
    settings.write(tmp_path / "env", AWKWARD)
    assert stat.S_IMODE((tmp_path / "env").stat().st_mode) == 0o600


def test_a_missing_file_holds_nothing(tmp_path: Path) -> None:
    assert settings.read(tmp_path / "env") == {}


def test_secrets_are_given_or_remembered_or_random() -> None:
    assert settings.complete({"ADMIN_TOKEN": "given"}, {"ADMIN_TOKEN": "old"})["ADMIN_TOKEN"] == "given"
    assert settings.complete({}, {"JWT_SECRET": "old"})["JWT_SECRET"] == "old"
    first, second = settings.complete({}, {}), settings.complete({}, {})
    assert first["JWT_SECRET"] != second["JWT_SECRET"] != first["ADMIN_TOKEN"]
    assert len(first["JWT_SECRET"].encode()) >= 32


def test_every_other_setting_passes_through() -> None:
    assert settings.complete({"PAYMENTS": "x", "AUTH_MODE": "gateway"}, {}).items() >= {
        ("PAYMENTS", "x"),
        ("AUTH_MODE", "gateway"),
        ("APP_ENV", "development"),
    }


def test_only_a_setting_that_is_given_makes_a_running_process_outdated() -> None:
    running = {"AUTH_MODE": "jwt", "WEB_CONCURRENCY": "2", "HOME": "/a"}
    assert not settings.differ(running, {"AUTH_MODE": "jwt", "HOME": "/b"})
    assert settings.differ(running, {"AUTH_MODE": "gateway"})
    assert settings.differ(running, {"WEB_CONCURRENCY": "3"})
