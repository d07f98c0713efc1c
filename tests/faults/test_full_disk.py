"""The broker's disk is full: it ends, and ends again at each start, until there is room. Meanwhile everything waits.

"Full" is RLIMIT_FSIZE: from one moment to the next the broker's writes fail, whatever the file system and the user."""

import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from app.domain.ids import shard_of_event
from app.wiring import Wiring
from dev.kafka import Kafka
from dev.redis import Redis
from dev.worker import Worker
from tests.support import kafka_log, servers
from tests.support.buyers import until
from tests.support.controls import goes_red
from tests.support.seats import Clock, Sale, open_sale, open_shop

pytestmark = pytest.mark.timeout(300)
REMINDER_SECONDS = 60
SAID = "Kafka is away"


class FullKafka(Kafka):
    """The same broker, started while there is still no room."""

    def command(self) -> list[str]:
        return ["prlimit", "--fsize=0", *super().command()]


class TalkativeWorker(Worker):
    """The control: says at each failure what it says."""

    def command(self) -> list[str]:
        program = "from worker import __main__, outage; outage.REMINDER_SECONDS = 0; __main__.main(['relay'])"
        return [sys.executable, "-c", program]


@pytest.fixture(scope="module")
def shop(database: str, redis_server: Redis) -> Iterator[Wiring]:
    redis.Redis.from_url(redis_server.url).flushall()
    wiring = open_shop(database, redis_server.url)
    yield wiring
    wiring.close()


@pytest.fixture(scope="module")
def kafka(session_directory: Path) -> Iterator[Kafka]:
    """For this module alone: it dies."""
    with servers.started(Kafka(session_directory / "kafka-with-a-full-disk")) as server:
        yield server


@pytest.fixture
def settings(database: str, redis_server: Redis, kafka: Kafka) -> dict[str, str]:
    return servers.environment(
        DATABASE_URL=database,
        REDIS_URL=redis_server.url,
        KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers,
        AUTH_MODE="gateway",
        ADMIN_TOKEN="admin-token-of-the-tests",
        APP_ENV="development",
    )


@pytest.fixture
def worker(session_directory: Path, settings: dict[str, str]) -> Iterator[Worker]:
    worker = Worker(session_directory / "worker-of-full-disk", settings)
    worker.start()
    yield worker
    worker.stop()


@pytest.fixture
def talkative(session_directory: Path, settings: dict[str, str]) -> Iterator[Worker]:
    """Not started yet."""
    worker = TalkativeWorker(session_directory / "talkative-worker", settings)
    yield worker
    worker.stop()


def _statuses(sale: Sale) -> Counter[str]:
    rows = sale.rows("SELECT status FROM booking.bookings WHERE event_id = %s", sale.event_id)
    return Counter(status for (status,) in rows)


def _trade(sale: Sale, name: str) -> dict[str, int]:
    """Everything goes on, whatever Kafka does: what it comes to."""
    bookings = {f"{name}-{n}": sale.reserve(f"{name}-{n}").booking.booking_id for n in range(9)}
    users = list(bookings)
    for user in users[:3]:
        sale.shop.release(user, bookings[user])
    for user in users[3:6]:
        sale.shop.confirm(user, bookings[user], None)
    return {"released": 3, "confirmed": 3, "reserved": 3}


def _says_it_once_a_minute(worker: Worker, seconds: float) -> None:
    said, most = worker.log.read_text().count(SAID), 1 + int(seconds / REMINDER_SECONDS)
    assert 1 <= said <= most, f"it was said {said} times in {seconds:.0f} s"


def test_a_broker_whose_disk_is_full_keeps_nobody_from_buying_and_is_told_all_in_order_afterwards(
    shop: Wiring, kafka: Kafka, worker: Worker, talkative: Worker
) -> None:
    sale = open_sale(shop, Clock(), capacity=1000)
    shard = shard_of_event(sale.event_id, len(shop.shards))
    expected = Counter(_trade(sale, "before"))
    until(lambda: _statuses(sale) == expected and not shop.outbox.read(shard, 1), 60, "recorded")

    assert kafka.pid
    resource.prlimit(kafka.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    since = time.monotonic()
    expected_later = expected + Counter(_trade(sale, "meanwhile"))
    until(lambda: not kafka.running, 60, "the broker has ended")
    print(f"the broker ended {time.monotonic() - since:.1f} s after its disk was full")
    talkative.start()
    again = FullKafka(kafka.directory)
    again.start()
    until(lambda: not again.running, 60, "it has ended again: there is still no room")
    while time.monotonic() < since + REMINDER_SECONDS + 10:
        expected_later += Counter(_trade(sale, f"after {time.monotonic() - since:.0f} s"))
        time.sleep(5)
    waiting = len(shop.outbox.read(shard, 1000)), len(shop.ledger_outbox.read(1000))
    print(f"{waiting[0]} entries and {waiting[1]} events wait")
    assert _statuses(sale) == expected + Counter(confirmed=expected_later["confirmed"] - expected["confirmed"])
    _says_it_once_a_minute(worker, time.monotonic() - since)
    with goes_red("it was said"):
        _says_it_once_a_minute(talkative, time.monotonic() - since)
    talkative.stop()

    kafka.start()
    kafka.wait_until_ready()
    since = time.monotonic()
    until(lambda: _statuses(sale) == expected_later, 60, "all is recorded")
    until(lambda: not shop.outbox.read(shard, 1) and not shop.ledger_outbox.read(1), 30, "all is told")
    print(f"all was told and recorded {time.monotonic() - since:.1f} s after there was room again")
    kafka_log.are_in_order(kafka_log.first_told(kafka.bootstrap_servers))
    assert shop.dead_letters.latest(None, 1) == []
    assert "Traceback" not in worker.log.read_text()
