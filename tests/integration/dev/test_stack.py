"""A whole Holdfast in a directory, as `make run`, `make up` and `make down` start and stop it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from dev import kafka_jars, seed, settings, welcome
from dev.errors import DevError
from dev.postgres import Postgres
from dev.process import ROOT
from dev.redis import Redis
from dev.stack import Stack
from tests.support import servers

# Generous, for a machine that is busy with something else as well.
READY_S = 90
ENDED_S = 30

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def directory(session_directory: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    directory = session_directory / re.sub(r"\W", "-", request.node.name)[:60]
    yield directory
    servers.remove_session_directory(directory)


def dev(command: str, directory: Path) -> list[str]:
    return [sys.executable, "-m", "dev", command, "--directory", str(directory)]


def call(command: str, directory: Path, given: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        dev(command, directory),
        cwd=ROOT,
        env=dict(given),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=READY_S,
    )


def pids(directory: Path) -> dict[str, int]:
    stack = Stack(directory, {})
    return {process.name: process.pid for process in stack.processes if process.pid is not None}


WITHOUT_KAFKA = servers.environment(KAFKA_BOOTSTRAP_SERVERS="", WEB_CONCURRENCY="1")


def test_up_starts_everything_and_then_only_what_is_missing(directory: Path) -> None:
    """And the commands that it prints work as they are printed."""
    given = servers.environment(WEB_CONCURRENCY="2")
    first = call("up", directory, given)
    assert first.returncode == 0, first.stdout + first.stderr
    before = pids(directory)
    assert set(before) == {"postgres", "redis", "kafka", "web", "worker"}
    assert len(Stack(directory, {}).web.worker_pids()) == 2

    told = settings.read(directory / "env")
    assert f"{told['BASE_URL']}/docs" in first.stdout
    reserve, confirm, find = [line for line in first.stdout.splitlines() if line.startswith(("curl", "psql"))]
    assert '"status":"reserved"' in shell(reserve)
    assert '"status":"confirmed"' in shell(confirm)
    assert re.search(r"ann +\| floor +\| +2 \| confirmed", shell(find))

    os.kill(before["worker"], signal.SIGKILL)
    again = call("up", directory, given)
    assert again.returncode == 0, again.stdout + again.stderr
    after = pids(directory)
    assert {name for name in after if after[name] != before[name]} == {"worker"}
    assert settings.read(directory / "env") == told

    assert call("status", directory, given).returncode == 0
    assert call("down", directory, given).returncode == 0
    assert pids(directory) == {}
    assert call("status", directory, given).returncode == 1


def shell(line: str) -> str:
    """What somebody sees who pastes the line, in a shell that knows nothing."""
    clean = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(["bash", "-c", line], cwd=ROOT, env=clean, capture_output=True, text=True, timeout=30).stdout


def test_ctrl_c_during_the_start_stops_what_was_started_by_then(directory: Path) -> None:
    with run(directory, until="starting") as child:
        child.send_signal(signal.SIGINT)
        assert child.wait(ENDED_S) == 0
    assert pids(directory) == {}


def test_a_signal_stops_everything_and_a_second_run_is_quick_and_keeps_it_all(directory: Path) -> None:
    with run(directory) as child:
        assert set(pids(directory)) == {"postgres", "redis", "web", "worker"}
        told = settings.read(directory / "env")
        with psycopg.connect(told["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("CREATE TABLE public.kept AS SELECT 1 AS one")
        child.send_signal(signal.SIGINT)
        assert child.wait(ENDED_S) == 0
    assert pids(directory) == {}
    since = time.monotonic()
    with run(directory) as child:
        assert time.monotonic() - since < 15
        assert settings.read(directory / "env") == told
        with psycopg.connect(told["DATABASE_URL"]) as connection:
            assert connection.execute("SELECT one FROM public.kept").fetchone() == (1,)
        child.send_signal(signal.SIGTERM)
        assert child.wait(ENDED_S) == 0
    assert pids(directory) == {}


def test_run_leaves_running_what_up_started(directory: Path) -> None:
    assert call("up", directory, WITHOUT_KAFKA).returncode == 0
    Stack(directory, {}).worker.kill()
    with run(directory) as child:
        child.send_signal(signal.SIGINT)
        child.wait(ENDED_S)
    assert set(pids(directory)) == {"postgres", "redis", "web"}


@contextmanager
def run(directory: Path, until: str = "Ctrl-C stops") -> Iterator["subprocess.Popen[bytes]"]:
    """`make run` in a directory, waited for until it has printed something; killed at the end if it still runs."""
    directory.mkdir(exist_ok=True)
    output = directory / "output"
    with output.open("wb") as file:
        child = subprocess.Popen(
            dev("run", directory), cwd=ROOT, env=dict(WITHOUT_KAFKA), stdout=file, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + READY_S
        while until not in output.read_text():
            assert child.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.05)
        yield child
    finally:
        child.kill()
        child.wait()


def test_servers_that_are_given_take_the_place_of_own_ones(
    directory: Path, postgres: Postgres, session_directory: Path
) -> None:
    elsewhere = Redis(session_directory / "elsewhere" / "redis")
    elsewhere.start()
    elsewhere.wait_until_ready()
    given = {"DATABASE_URL": postgres.create_database("given"), "REDIS_URL": elsewhere.url}
    stack = Stack(directory, {**WITHOUT_KAFKA, **given})
    stack.up()
    try:
        assert set(pids(directory)) == {"web", "worker"}
        assert settings.read(directory / "env").items() >= given.items()
        assert seed.demo(stack.base_url, stack.settings["ADMIN_TOKEN"])
        assert not seed.demo(stack.base_url, stack.settings["ADMIN_TOKEN"])
    finally:
        stack.down()
        elsewhere.erase()
        postgres.drop_database("given")


def test_a_running_system_keeps_its_settings_unless_others_are_given(directory: Path) -> None:
    Stack(directory, {**WITHOUT_KAFKA, "AUTH_MODE": "gateway", "SWEEP_BATCH": "77"}).up()
    before = pids(directory)
    Stack(directory, {}).worker.kill()
    plain = Stack(directory, WITHOUT_KAFKA)
    plain.up()
    assert "X-User-ID: ann" in welcome.text(plain)
    assert plain.worker.running_environment()["SWEEP_BATCH"] == "77"
    assert pids(directory)["web"] == before["web"]
    Stack(directory, {**WITHOUT_KAFKA, "AUTH_MODE": "jwt"}).up()
    assert pids(directory)["web"] != before["web"]
    assert settings.read(directory / "env")["AUTH_MODE"] == "jwt"


def test_payments_demo_starts_a_provider_that_tells_by_webhook_and_its_name_for_it_is_kept(directory: Path) -> None:
    stack = Stack(directory, {**WITHOUT_KAFKA, "PAYMENTS": "demo", "AUTH_MODE": "gateway", "PAYMENT_TIMEOUT_MS": "500"})
    stack.up()
    assert set(pids(directory)) == {"postgres", "redis", "web", "worker", "provider"}
    assert settings.read(directory / "env").items() >= {("PAYMENTS", "http"), ("PAYMENTS_URL", stack.provider.url)}
    seed.demo(stack.base_url, stack.settings["ADMIN_TOKEN"])
    reserve, confirm, _ = [line for line in welcome.text(stack).splitlines() if line.startswith(("curl", "psql"))]
    shell(reserve)
    assert '"status":"confirmed"' in shell(confirm)
    shell(reserve)
    assert '"state":"pending"' in shell(confirm.replace("approve-1", "timeout-then-succeed-1"))
    deadline = time.monotonic() + 60
    while '"status":"confirmed"' not in shell(confirm.replace("approve-1", "timeout-then-succeed-1")):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    with psycopg.connect(stack.settings["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT DISTINCT type FROM booking.payment_inbox").fetchall() == [
            ("payment.succeeded",)
        ]
    before = pids(directory)
    stack.provider.kill()
    Stack(directory, WITHOUT_KAFKA).up()
    assert {name for name, pid in pids(directory).items() if pid != before[name]} == {"provider"}


def test_without_kafka_it_says_so_in_one_sentence_and_runs(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_to_be_had() -> Path:
        raise DevError("no jars, no Maven")

    monkeypatch.setattr(kafka_jars, "provide", nothing_to_be_had)
    said: list[str] = []
    stack = Stack(directory, servers.environment(WEB_CONCURRENCY="1"), said.append)
    stack.up()
    assert [line for line in said if "Kafka" in line] == [
        "Running without Kafka (no jars, no Maven): booking and expiry work, and events wait in the outboxes "
        "until a later start finds it."
    ]
    assert set(pids(directory)) == {"postgres", "redis", "web", "worker"}
    assert settings.read(directory / "env")["KAFKA_BOOTSTRAP_SERVERS"] == ""


def test_two_systems_side_by_side_share_nothing(directory: Path, session_directory: Path) -> None:
    other = session_directory / "beside"
    Stack(directory, WITHOUT_KAFKA).up()
    Stack(other, WITHOUT_KAFKA).up()
    here, there = settings.read(directory / "env"), settings.read(other / "env")
    for name in ("BASE_URL", "DATABASE_URL", "REDIS_URL", "ADMIN_TOKEN", "JWT_SECRET"):
        assert here[name] != there[name]
    Stack(other, {}).down()
    assert Stack(directory, {}).web.ready()
    # Who has sourced the file of one and starts it again means its own servers, not servers that are given.
    Stack(other, {**WITHOUT_KAFKA, **there}).up()
    assert set(pids(other)) == {"postgres", "redis", "web", "worker"}
    Stack(other, {}).down()


def test_a_dead_sessions_servers_and_data_are_removed(session_directory: Path, redis_server: Redis) -> None:
    program = """
import os
from dev.redis import Redis
from tests.support import servers
directory = servers.make_session_directory()
server = Redis(directory / "redis")
server.start()
server.wait_until_ready()
print(directory, server.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    died = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30)
    directory, pid = died.stdout.split()
    left_behind = Redis(Path(directory) / "redis")
    assert left_behind.pid == int(pid)
    servers.remove_dead_sessions()
    assert not left_behind.running
    assert not Path(directory).exists()
    assert session_directory.exists()
    assert redis_server.ready()
