"""Whatever a provider does, and wherever the web process or the worker is killed meanwhile: in the end money and
tickets agree, with nobody asking again."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.redis import Redis
from tests.support.crash_table import POINTS, Till, assert_money_and_tickets_agree, cells, play, shown, till

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def office(session_directory: Path, database: str, redis_server: Redis) -> Iterator[Till]:
    with till(session_directory / "payment-crashes", database, redis_server.url) as office:
        yield office


@pytest.mark.parametrize("victim", ["web", "worker"])
@pytest.mark.parametrize("point", POINTS)
def test_money_and_tickets_agree_whatever_the_provider_does_and_whoever_is_killed(
    office: Till, victim: str, point: str
) -> None:
    began = time.monotonic()
    ended = play(office, cells(victim, point))
    print(f"\n{shown(ended, began)}")
    assert_money_and_tickets_agree(ended)
