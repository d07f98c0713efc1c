"""The auditor and the rebuilder as the worker runs them: what Redis has wrong is right again by itself."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from app.domain.ids import shard_of_event
from app.domain.model import Seats
from tests.integration.worker.conftest import wait_until
from tests.support.edits import by_hand
from tests.support.seats import Sale
from worker.auditor import Auditor
from worker.loop import Threads
from worker.outage import Outage
from worker.rebuilder import Rebuilder


@pytest.fixture
def audited(sale: Sale, database: str) -> Iterator[Sale]:
    """A sale of ten seats, two of them held and three confirmed, whose shard is looked at all the time."""
    shop = sale.shop
    sale.reserve("ann", 2)
    shop.confirm("bob", sale.reserve("bob", 3).booking.booking_id, None)
    sale.record()
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("UPDATE booking.zones SET created_at = created_at - interval '11 s'")
    stop = threading.Event()
    threads = Threads(stop, Outage("Kafka"))
    shard = shard_of_event(sale.event_id, len(shop.shards))
    threads.start("auditor", Auditor((shop.audit.settle_stale, shop.audit), [shard], 0.1).run)
    threads.start("rebuilder", Rebuilder(shop.closed_shards, shop.rebuild(), shop.sweep_old_spaces, None, None).run)
    yield sale
    stop.set()
    assert threads.join(10) == []


@pytest.mark.parametrize(
    "damage",
    [("EDIT", "counts:{}/A", {"held": 0}), ("DEL", "zone:{}/A"), ("DEL", "deadlines:{}/A"), ("DEL", "u:{}/ann")],
    ids=lambda damage: f"{damage[0]} {damage[1].partition(':')[0]}",
)
def test_a_zone_edited_by_hand_is_right_again_within_seconds(audited: Sale, damage: tuple[Any, ...]) -> None:
    shop, shard = audited.shop, shard_of_event(audited.event_id, len(audited.shop.shards))
    epoch = shop.epochs.of(shard)
    verb, key, *rest = damage
    by_hand(shop.redis.command, verb, f"{{{shard:02}}}:{epoch}:{key.format(audited.event_id)}", *rest)
    wait_until(lambda: shop.ledger.epochs()[shard] > epoch, 10)
    wait_until(lambda: not shop.closed_shards(), 10)
    shop.epochs.refresh()
    assert audited.seats() == Seats(10, 3, 2, 5, audited.seats().version)
    audited.refused("INSUFFICIENT_SEATS", audited.reserve, "cid", 6)


def test_a_shard_that_is_right_is_left_alone(audited: Sale) -> None:
    shop, shard = audited.shop, shard_of_event(audited.event_id, len(audited.shop.shards))
    epoch = shop.epochs.of(shard)
    for n in range(100):
        audited.shop.cancel(f"user-{n}", audited.reserve(f"user-{n}").booking.booking_id, None)
    time.sleep(0.5)
    assert shop.ledger.epochs()[shard] == epoch
