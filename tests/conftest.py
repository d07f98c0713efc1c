"""Real servers for the tests, each started when the first test asks for it and shared by the session.

They are not those of `make run`: both can run at once. Tests share `postgres` through fresh databases (`database`);
a test that disturbs a server puts it back (resume, start, wait_until_ready) before it ends.
"""

import itertools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from app.wiring import EPOCHS_PERIOD_S
from dev.errors import with_tail
from dev.kafka import Kafka
from dev.postgres import Postgres
from dev.redis import Redis
from dev.stack import Stack
from tests.support import servers

ADMIN_TOKEN = "admin-token-of-the-tests"
_TEMPLATE = "migrated"
_numbers = itertools.count(1)


def pytest_configure() -> None:
    """`kill`, a CI's time limit or a closed terminal end the session as Ctrl-C does: with its servers stopped."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


@pytest.fixture(scope="session")
def session_directory() -> Iterator[Path]:
    """Private to this session, outside the checkout, deleted at its end with every process that started in it."""
    servers.remove_dead_sessions()
    directory = servers.make_session_directory()
    yield directory
    servers.remove_session_directory(directory)


@pytest.fixture(scope="session")
def postgres(session_directory: Path) -> Iterator[Postgres]:
    with servers.started(Postgres(session_directory / "postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(session_directory: Path) -> Iterator[Redis]:
    """For tests that talk to Redis alone: they may empty it. The `stack` has its own."""
    with servers.started(Redis(session_directory / "redis")) as server:
        yield server


@pytest.fixture(scope="session")
def kafka(session_directory: Path) -> Iterator[Kafka]:
    """For tests that talk to Kafka alone, with topics of their own. The `stack` has its own."""
    with servers.started(Kafka(session_directory / "kafka")) as server:
        yield server


@pytest.fixture(scope="session")
def migrated_template(postgres: Postgres) -> str:
    """The name of a database that has every table and function, and no data."""
    from app.stores import schema

    schema.migrate(postgres.create_database(_TEMPLATE))
    return _TEMPLATE


@pytest.fixture(scope="module")
def database(postgres: Postgres, migrated_template: str) -> Iterator[str]:
    """The URL of a fresh migrated database, one a test module."""
    name = f"test_{next(_numbers)}"
    yield postgres.create_database(name, template=migrated_template)
    postgres.drop_database(name)


@pytest.fixture(scope="session")
def stack(session_directory: Path) -> Iterator[Stack]:
    """The whole system, with two web workers, in gateway mode, and servers of its own: a worker of some other test
    would read the same topics on a shared Kafka."""
    stack = Stack(
        session_directory / "stack",
        servers.environment(
            AUTH_MODE="gateway",
            ADMIN_TOKEN=ADMIN_TOKEN,
            WEB_CONCURRENCY="2",
        ),
    )
    stack.up()
    time.sleep(EPOCHS_PERIOD_S)  # by then the process that /readyz did not meet knows what the worker has opened, too
    yield stack
    stack.down()


# --- in CI, a test that did not run has failed; one that failed shows what the service said ---


def _fail_a_skip(report: Any) -> None:
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"Skipped, and in CI a skip is a failure: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    _fail_a_skip(report)
    if report.failed and isinstance(stack := getattr(item, "funcargs", {}).get("stack"), Stack):
        report.sections += [(p.name, with_tail("", p.log)) for p in (stack.web, stack.worker)]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    report = yield
    _fail_a_skip(report)
    return report
