import threading
import time
from typing import Any

import pytest
import redis

from app.domain.ids import shard_of_event
from app.domain.model import Seats
from dev.redis import Redis
from tests.integration.worker.conftest import Line, wait_until
from tests.support.seats import HOLD_SECONDS, Sale, reopen
from worker.broker import Broker
from worker.log import SILENCE_SECONDS, KafkaLog
from worker.rebuilder import Rebuilder
from worker.sweeper import Sweeper


def shard_of(sale: Sale) -> int:
    return shard_of_event(sale.event_id, len(sale.shop.shards))


def flat(batches: Any) -> list[str]:
    return [entry["seq"] for batch in batches for entry in batch]


def test_seats_whose_deadline_has_passed_are_back_within_two_seconds(sale: Sale, line: Line) -> None:
    sweeper = Sweeper(sale.shop.expire, sale.shop.shards, sale.shop.settings.sweep_interval_ms)
    line.run("sweeper", sweeper.run)
    booking_id = sale.reserve("ann", 4).booking.booking_id
    sale.clock.advance(HOLD_SECONDS)
    assert wait_until(lambda: sale.shop.get("ann", booking_id).status == "expired") < 2
    assert sale.seats().held == 0


def test_the_log_holds_for_a_rebuild_what_the_recorder_has_not_committed(sale: Sale, line: Line) -> None:
    sale.reserve("ann")
    line.log_relay().turn()
    recorder = line.recorder()
    line.run("recorder", recorder.run)
    wait_until(lambda: line.committed(shard_of(sale)) == 1)
    line.stop.set()
    assert line.threads.join(5) == []
    line.stop.clear()

    sale.reserve("bob")
    sale.reserve("cid")
    waiting = [entry["seq"] for entry in sale.shop.outbox.read(shard_of(sale), 10)]
    line.log_relay().turn()
    log = KafkaLog(line.broker)
    assert flat(log.unrecorded(shard_of(sale))) == waiting
    assert flat(log.unrecorded((shard_of(sale) + 1) % 16)) == []
    log.close()


def test_a_log_that_was_never_recorded_is_read_from_its_beginning(sale: Sale, line: Line) -> None:
    for n in range(3):
        sale.reserve(f"user-{n}")
        line.log_relay().turn()
    log = KafkaLog(line.broker)
    assert len(flat(log.unrecorded(shard_of(sale)))) == 3
    log.close()


def test_a_kafka_that_is_away_holds_a_rebuild_up_for_a_moment_and_only_once() -> None:
    log = KafkaLog(Broker("127.0.0.1:1", 16))
    began = time.monotonic()
    threads = threading.active_count()
    for shard in range(16):
        assert flat(log.unrecorded(shard)) == []
    assert time.monotonic() - began < SILENCE_SECONDS + 2
    assert threading.active_count() == threads


@pytest.mark.parametrize("with_log", [True, False])
def test_a_redis_that_comes_back_empty_sells_again_by_itself(
    sale: Sale, line: Line, redis_server: Redis, with_log: bool
) -> None:
    booking_id = sale.reserve("ann", 4).booking.booking_id
    confirmed = sale.reserve("bob", 2).booking.booking_id
    sale.shop.confirm("bob", confirmed, None)
    if with_log:
        line.log_relay().turn()  # and nobody has recorded it
    else:
        sale.record()
    redis.Redis.from_url(redis_server.url).flushall()
    log = KafkaLog(line.broker) if with_log else None
    shop = sale.shop
    rebuilder = Rebuilder(shop.closed_shards, shop.rebuild(log), shop.sweep_old_spaces, log, None)
    began = time.monotonic()
    line.run("rebuilder", rebuilder.run)
    wait_until(lambda: shop.closed_shards() == [])
    assert time.monotonic() - began < 10
    reopen(shop)
    assert sale.seats() == Seats(capacity=10, confirmed=2, held=4, available=4)
    assert shop.get("ann", booking_id).status == "reserved"
