"""A process that rebuilds is killed at each line of it: another one follows at once, and nothing is lost by it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain.ids import shard_of_event
from dev.redis import Redis
from tests.support import servers
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
    shop, shard = sale.shop, shard_of_event(sale.event_id, len(sale.shop.shards))
    before = sale.seats()
    sold = sale.reserve("ann", 2).booking.booking_id
    kept = sale.reserve("bob", 3, idempotency_key=f"{line}-{when}").booking
    sale.record()
    shop.confirm("ann", sold, None)
    survivor = sale.reserve("cid", 1).booking.booking_id  # of the outbox alone
    shop.close_shard(shard)
    given = {"DATABASE_URL": shop.settings.database_url, "REDIS_URL": shop.settings.redis_url}
    died = subprocess.run(
        [sys.executable, "-m", "tests.support.dying_rebuilder", str(shard), line, when],
        env=servers.environment(**given, AUTH_MODE="gateway", ADMIN_TOKEN="x", APP_ENV="development"),
        timeout=60,
    )
    assert died.returncode == -signal.SIGKILL
    shop.epochs.refresh()
    opened = (line, when) == ("flip", "after")
    assert (shard not in shop.closed_shards()) == opened
    assert shop.rebuild()(shard), "its lock has fallen with it"
    shop.epochs.refresh()
    expected = (before.confirmed + 2, before.held + 4)
    assert (sale.seats().confirmed, sale.seats().held) == expected
    assert sale.reserve("bob", 3, idempotency_key=f"{line}-{when}").booking.booking_id == kept.booking_id
    assert shop.get("cid", survivor).status == "reserved"
    sale.record()
    assert not shop.reconcile(sale.event_id).findings
