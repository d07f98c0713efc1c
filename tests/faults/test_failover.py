"""Redis is replaced under load by another server that knew less, and the old one comes back alive."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.domain.errors import Refusal
from dev.proxy import Proxy
from dev.redis import Redis
from tests.support import forgetful
from tests.support.amnesias import Amnesia
from tests.support.buyers import until
from tests.support.system import System, running
from tests.support.trial import HEAD, trial

pytestmark = pytest.mark.timeout(300)
STALE_S, OLD_ALIVE_S = 1.0, 4.0


@dataclass
class Pair:
    """The address of Redis leads to one of two servers."""

    line: Proxy
    servers: tuple[Redis, Redis]


@pytest.fixture(scope="module")
def pair(session_directory: Path) -> Iterator[Pair]:
    settings = {"repl-diskless-sync-delay": "0"}
    one, two = (Redis(session_directory / f"redis-failover-{n}", settings) for n in (1, 2))
    for server in (one, two):
        server.start()
        server.wait_until_ready()
    with Proxy(one.port) as line:
        yield Pair(line, (one, two))
    for server in (one, two):
        server.erase()


@pytest.fixture(scope="module")
def system(session_directory: Path, pair: Pair) -> Iterator[System]:
    url = pair.line.url(pair.servers[0].url)
    with running(session_directory / "failover", REDIS_URL=url, PIN_LIMIT_SECONDS="5", AUDIT_SECONDS="4") as system:
        yield system


def _is_open(system: System) -> bool:
    """Also asked over a connection to a server that hangs."""
    try:
        return not system.shop.closed_shards()
    except Refusal:
        return False


def test_a_stale_replica_is_promoted_and_later_the_old_master_comes_back_alive(system: System, pair: Pair) -> None:
    one, two = pair.servers

    def promote_a_stale_replica(system: System, events: list[str]) -> None:
        two.pause()  # it hears no more
        time.sleep(STALE_S)
        one.kill()
        two.resume()
        forgetful.promote(two)
        pair.line.lead_to(two.port)

    def the_master_hangs_is_replaced_and_comes_back(system: System, events: list[str]) -> None:
        two.pause()
        pair.line.lead_to(one.port)
        until(lambda: _is_open(system), 40, "the new one is filled")
        two.resume()
        time.sleep(OLD_ALIVE_S)  # whoever is connected to the old one still asks it

    forgetful.follow(two, one)
    stale = Amnesia("the master killed", "a replica that was a second behind", promote_a_stale_replica)
    print("\n".join(["", HEAD, str(trial(system, stale))]))

    one.start()
    one.wait_until_ready()
    forgetful.follow(one, two)
    forgetful.promote(one)  # and is behind by all that follows
    epochs = system.shop.ledger.epochs()
    returning = Amnesia(
        "the master paused, and resumed later", "a copy of before", the_master_hangs_is_replaced_and_comes_back
    )
    print(trial(system, returning))
    rebuilt = sum(system.shop.ledger.epochs().values()) - sum(epochs.values())
    assert rebuilt == len(system.shop.shards), "somebody has filled the old server"
