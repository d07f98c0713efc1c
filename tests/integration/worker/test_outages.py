"""Kafka that dies, hangs or forgets a topic. Selling does not notice; what waits reaches it in order afterwards."""

import time

import pytest
from kafka import KafkaAdminClient

from app.domain.ids import shard_of_event
from dev.kafka import Kafka
from tests.integration.worker.conftest import Line, wait_until
from tests.support.seats import Sale


def shard_of(sale: Sale) -> int:
    return shard_of_event(sale.event_id, len(sale.shop.shards))


def waiting(sale: Sale) -> list[str]:
    return [entry["seq"] for entry in sale.shop.outbox.read(shard_of(sale), 1000)]


def recorded(sale: Sale) -> int:
    ((count,),) = sale.rows("SELECT count(*) FROM booking.bookings WHERE event_id = %s", sale.event_id)
    return int(count)


def run(line: Line) -> None:
    for name, part in (("relay", line.log_relay()), ("rows", line.row_relay()), ("recorder", line.recorder())):
        line.run(name, part.run)


@pytest.mark.parametrize("how", ["killed", "hung"])
def test_while_kafka_is_away_events_wait_and_reach_it_in_order_afterwards(
    sale: Sale, line: Line, kafka: Kafka, how: str
) -> None:
    run(line)
    sale.reserve("before")
    wait_until(lambda: recorded(sale) == 1)
    kafka.kill() if how == "killed" else kafka.pause()
    try:
        for n in range(9):
            sale.reserve(f"user-{n}")
        wait_until(lambda: line.kafka.is_down, 40)
        last = waiting(sale)
        assert len(last) == 9
    finally:
        if how == "killed":
            kafka.start()
        else:
            kafka.resume()
        kafka.wait_until_ready()
    wait_until(lambda: recorded(sale) == 10 and not waiting(sale), 60)
    assert line.entries(shard_of(sale), 10, distinct=True)[1:] == last
    assert line.dead_letters() == []


def test_a_topic_that_is_missing_is_made_again(sale: Sale, line: Line, kafka: Kafka) -> None:
    run(line)
    sale.reserve("before")
    wait_until(lambda: recorded(sale) == 1)
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    admin.delete_topics([line.topics.reservation_log])
    admin.close()
    time.sleep(1)
    sale.reserve("after")
    wait_until(lambda: recorded(sale) == 2, 60)
