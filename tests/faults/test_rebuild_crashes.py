"""A process that rebuilds is killed at each line of it: another one follows at once, and nothing is lost by it. Where
it is stopped and lives on (SIGSTOP), another one follows when it has been silent for half a minute."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain.ids import shard_of_event
from dev.redis import Redis
from tests.support import servers
from tests.support.buyers import until
from tests.support.dying_rebuilder import LINES
from tests.support.seats import Clock, Sale, open_sale, open_shop

CRASHES = [(line, when) for line in LINES for when in ("before", "after")]


@pytest.fixture(scope="module")
def sale(session_directory: Path, database: str) -> Iterator[Sale]:
    server = Redis(session_directory / "redis-of-rebuilders")
    server.start()
    server.wait_until_ready()
    shop = open_shop(database, server.url, clock := Clock())
    yield open_sale(shop, clock, 1_000, max_per_user=1_000)
    shop.close()
    server.erase()


@pytest.mark.parametrize(("line", "when"), CRASHES, ids=lambda value: value)
def test_a_rebuilder_killed_at_any_line_is_followed_by_another(sale: Sale, line: str, when: str) -> None:
    scene = Scene(sale, f"{line}-{when}")
    died = scene.rebuilder(line, when, signal.SIGKILL)
    assert died.wait(60) == -signal.SIGKILL
    opened = (line, when) == ("flip", "after")
    assert scene.is_open() == opened
    assert sale.shop.rebuild()(scene.shard), "its lock has fallen with it"
    scene.assert_nothing_is_lost()


@pytest.mark.parametrize("line", ["survivors", "install", "flip"])
def test_a_rebuilder_that_hangs_is_followed_by_another(sale: Sale, line: str) -> None:
    scene = Scene(sale, line)
    hanging = scene.rebuilder(line, "before", signal.SIGSTOP)
    os.waitpid(hanging.pid, os.WUNTRACED)
    try:
        assert not scene.is_open()
        assert sale.shop.rebuild()(scene.shard) is False, "it has the lock"
        until(lambda: sale.shop.rebuild()(scene.shard), 40, "another one has it")
    finally:
        hanging.send_signal(signal.SIGCONT)
    assert hanging.wait(30) == 1, "it wakes up too late, and gives up"
    assert scene.is_open()
    scene.assert_nothing_is_lost()


class Scene:
    """A closed shard with one booking of each kind."""

    def __init__(self, sale: Sale, name: str) -> None:
        self.sale, self.name = sale, name
        self.shard = shard_of_event(sale.event_id, len(sale.shop.shards))
        self.before = sale.seats()
        sold = sale.reserve("ann", 2).booking.booking_id
        self.kept = sale.reserve("bob", 3, idempotency_key=name).booking
        sale.record()
        sale.shop.confirm("ann", sold, None)
        self.survivor = sale.reserve("cid", 1).booking.booking_id  # of the outbox alone
        sale.shop.close_shard(self.shard)

    def rebuilder(self, line: str, when: str, number: signal.Signals) -> subprocess.Popen[bytes]:
        settings = self.sale.shop.settings
        given = {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url}
        return subprocess.Popen(
            [sys.executable, "-m", "tests.support.dying_rebuilder", str(self.shard), line, when, number.name],
            env=servers.environment(**given, AUTH_MODE="gateway", ADMIN_TOKEN="x", APP_ENV="development"),
        )

    def is_open(self) -> bool:
        self.sale.shop.epochs.refresh()
        return self.shard not in self.sale.shop.closed_shards()

    def assert_nothing_is_lost(self) -> None:
        sale = self.sale
        sale.shop.epochs.refresh()
        expected = (self.before.confirmed + 2, self.before.held + 4)
        assert (sale.seats().confirmed, sale.seats().held) == expected
        assert sale.reserve("bob", 3, idempotency_key=self.name).booking.booking_id == self.kept.booking_id
        assert sale.shop.get("cid", self.survivor).status == "reserved"
        sale.record()
        assert not sale.shop.reconcile(sale.event_id).findings
