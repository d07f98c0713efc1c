"""`flask db` and `flask ops rebuild` on real servers, as an operator types them."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import redis

from dev.postgres import Postgres
from dev.redis import Redis
from tests.integration.api.conftest import ADMIN_TOKEN
from tests.support import servers

Flask = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def empty_database(postgres: Postgres) -> str:
    return postgres.create_database("cli")


@pytest.fixture
def flask(empty_database: str, redis_server: Redis) -> Flask:
    """`flask("db", "migrate")`."""
    environment = servers.environment(
        DATABASE_URL=empty_database,
        REDIS_URL=redis_server.url,
        AUTH_MODE="gateway",
        ADMIN_TOKEN=ADMIN_TOKEN,
        SHARDS="4",
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flask", "--app", "wsgi", *arguments]
        return subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=60)

    return run


def test_an_operator_brings_a_database_up_down_and_up_and_opens_its_shards(flask: Flask, redis_server: Redis) -> None:
    redis.Redis.from_url(redis_server.url).flushall()
    before = flask("db", "status").stdout.split()
    assert "applied" not in before
    assert flask("db", "migrate").returncode == 0
    assert "pending" not in flask("db", "status").stdout
    assert flask("db", "migrate").returncode == 0
    assert "functions loaded" in flask("db", "functions").stdout
    migrations = len(before) // 2
    assert flask("db", "rollback", "--steps", str(migrations)).returncode == 0
    assert flask("db", "status").stdout.split() == before
    assert flask("db", "migrate").returncode == 0

    assert flask("ops", "rebuild", "--shard", "3").stdout == "shard 3: open\n"
    assert flask("ops", "rebuild").stdout.splitlines() == [f"shard {number}: open" for number in range(4)]
    wrong = flask("ops", "rebuild", "--shard", "4")
    assert wrong.returncode == 1
    assert "0 to 3" in wrong.stderr
