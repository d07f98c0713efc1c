"""`payment.events`: a team that tells of payments through Kafka is heard as a webhook is."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from kafka import KafkaProducer

from dev.kafka import Kafka
from dev.provider import Provider
from dev.redis import Redis
from dev.worker import Worker
from tests.support import servers
from tests.support.buyers import until
from tests.support.seats import Sale
from tests.support.till import disagreements, pay_of, steps

TOPIC = "payment.events"


@pytest.fixture(scope="module")
def worker(
    session_directory: Path, database: str, provider: Provider, redis_server: Redis, kafka: Kafka
) -> Iterator[Worker]:
    settings = {
        "DATABASE_URL": database,
        "REDIS_URL": redis_server.url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "AUTH_MODE": "gateway",
        "ADMIN_TOKEN": "admin-token-of-the-tests",
        "PAYMENTS": "http",
        "PAYMENTS_URL": provider.url,
    }
    worker = Worker(session_directory / "worker-cashier", servers.environment(**settings), ["consumer", "saga"])
    worker.start()
    yield worker
    worker.erase()


def _event(kind: str, message_id: str) -> list[tuple[str, bytes]]:
    return [
        ("ce_specversion", b"1.0"),
        ("ce_type", kind.encode()),
        ("ce_source", b"/till"),
        ("ce_id", message_id.encode()),
    ]


def test_a_word_from_kafka_is_written_down_once_and_has_the_provider_asked_and_poison_stops_nothing(
    sale: Sale, provider: Provider, worker: Worker, kafka: Kafka
) -> None:
    booking_id = sale.reserve().booking.booking_id
    pay = pay_of(sale).payments
    payment = pay.open_payment(sale.shop.reservations.confirm(booking_id, "ann", "approve-1"), 600_000).payment
    assert payment
    pay.put_off_payment(payment, 600_000, None, None)  # not to be asked about for minutes
    assert worker.running
    told = json.dumps({"attempt_id": payment.attempt_id}).encode()
    producer: Any = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    until(lambda: producer.partitions_for(TOPIC), 60, "the topic is there, whichever worker has made it")
    for value, headers in (
        (b"no json", _event("payment.succeeded", "1")),
        (b'{"deep": ' + b"[" * 900 + b"]" * 900 + b"}", _event("payment.succeeded", "1")),
        (told, _event("payment.lost", "2")),
        (b'{"attempt_id": "no uuid"}', _event("payment.failed", "3")),
        (json.dumps({"attempt_id": str(uuid4())}).encode(), _event("payment.failed", "4")),
        (told, _event("payment.failed", "5")),
        (told, _event("payment.succeeded", "6")),
        (told, _event("payment.succeeded", "6")),
    ):
        producer.send(TOPIC, value, key=b"one partition", headers=headers).get(timeout=30)
    producer.close()
    until(lambda: sale.shop.get("ann", booking_id).status == "confirmed", 60, "it is confirmed")
    assert steps(sale, booking_id) == [["intent", "pending", "captured"]]
    until(lambda: len(_inbox(sale)) == 3, 30, "all is written down")
    assert _inbox(sale) == [
        ("/till 4", "payment.failed", True),
        ("/till 5", "payment.failed", False),
        ("/till 6", "payment.succeeded", False),
    ]
    until(lambda: len(sale.rows("SELECT 1 FROM booking.dead_letters WHERE topic = %s", TOPIC)) == 4, 30, "all are dead")
    causes = "SELECT cause FROM booking.dead_letters WHERE topic = %s ORDER BY log_offset"
    assert [cause.partition(":")[0] for (cause,) in sale.rows(causes, TOPIC)] == [
        "not JSON",
        "not JSON",
        "type 'payment.lost' is unknown",
        "`attempt_id` is not a UUID",
    ]
    assert disagreements(sale, provider) == []


def _inbox(sale: Sale) -> list[Any]:
    return sale.rows(
        "SELECT message_id, type, payment_no IS NULL FROM booking.payment_inbox "
        "WHERE source = 'kafka' ORDER BY inbox_id"
    )
