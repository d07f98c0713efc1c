"""A worker that is killed with kill -9 at each line of its consumer: what Kafka has, Postgres gets, once."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import redis
from kafka import KafkaAdminClient

from app.domain.ids import shard_of_event
from app.wiring import Wiring
from dev.kafka import Kafka
from dev.redis import Redis
from dev.worker import Worker
from tests.support import servers, tables
from tests.support.buyers import until
from tests.support.controls import goes_red
from tests.support.dying_worker import DyingWorker
from tests.support.seats import Clock, Sale, open_sale, open_shop
from worker.topics import Topics

pytestmark = pytest.mark.timeout(240)
Start = Callable[..., Worker]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def shop(database: str, redis_server: Redis) -> Iterator[Wiring]:
    redis.Redis.from_url(redis_server.url).flushall()
    wiring = open_shop(database, redis_server.url)
    yield wiring
    wiring.close()


@pytest.fixture
def sale(shop: Wiring) -> Sale:
    return open_sale(shop, Clock(), capacity=100)


@pytest.fixture
def start(session_directory: Path, database: str, redis_server: Redis, kafka: Kafka) -> Iterator[Start]:
    """`start()`: an ordinary relay and consumer; `start("after")`: one that dies there; `start(loops=["relay"])`."""
    started: list[Worker] = []

    def start(dies: str | None = None, loops: Sequence[str] = ("relay", "consumer")) -> Worker:
        environment = servers.environment(
            DATABASE_URL=database,
            REDIS_URL=redis_server.url,
            KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers,
            AUTH_MODE="gateway",
            ADMIN_TOKEN="admin-token-of-the-tests",
            APP_ENV="development",
        )
        where = session_directory / f"consumer-{next(_numbers)}"
        worker = DyingWorker(where, environment, [dies, *loops]) if dies else Worker(where, environment, loops)
        worker.start()
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.stop()


def _everything_happens(sale: Sale) -> list[str]:
    """In the order of their users: what each booking comes to."""
    users = [f"user-{n}" for n in range(9)]
    bookings = {user: sale.reserve(user, idempotency_key="k").booking.booking_id for user in users}
    for user in users[:3]:
        sale.shop.release(user, bookings[user])
    for user in users[3:6]:
        sale.shop.confirm(user, bookings[user], None)
    sale.shop.cancel(users[5], bookings[users[5]], None)
    return ["released"] * 3 + ["confirmed"] * 2 + ["cancelled"] + ["reserved"] * 3


def _statuses(sale: Sale) -> list[str]:
    rows = sale.rows("SELECT status FROM booking.bookings WHERE event_id = %s ORDER BY user_id", sale.event_id)
    return [status for (status,) in rows]


def _arrives(sale: Sale, expected: list[str], seconds: float = 60) -> None:
    until(lambda: not sale.shop.outbox.read(_shard(sale), 1), seconds, "the outbox is empty")
    until(lambda: _statuses(sale) == expected, seconds, f"recorded: {_statuses(sale)}")


@pytest.mark.parametrize("line", ["after", "within"])
def test_a_worker_that_is_killed_while_it_records_is_succeeded_by_one_that_repeats_it(
    sale: Sale, start: Start, database: str, kafka: Kafka, line: str
) -> None:
    expected = _everything_happens(sale)
    dying = start(line)
    until(lambda: not dying.running, 60, "it has died")
    worker = start()
    _arrives(sale, expected)
    worker.stop()
    once = tables.contents(database)

    last = _the_whole_log_once_more(sale, start, kafka)
    assert _without(tables.contents(database), last) == _without(once, last)


def _the_whole_log_once_more(sale: Sale, start: Start, kafka: Kafka) -> str:
    """From its first record on; answers the booking by which it is known that it was read to its end."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    admin.delete_groups([Topics().recorder, Topics().settler])
    admin.close()
    again = start()
    last = sale.reserve("last").booking.booking_id
    until(lambda: sale.history(last), 60, "the log was read to its end")
    again.stop()
    return last


def test_the_whole_log_once_more_brings_no_purged_event_back(shop: Wiring, start: Start, kafka: Kafka) -> None:
    sale = open_sale(shop, Clock(), capacity=100, event_id="sandbox:purged")
    shard = shard_of_event(sale.event_id, len(shop.shards))
    neighbour = next(s for s in (open_sale(shop, Clock()) for _ in range(1000)) if _shard(s) == shard)
    expected = _everything_happens(sale)
    worker = start()
    _arrives(sale, expected)
    until(lambda: not shop.ledger_outbox.read(1), 60, "all is told")
    worker.stop()
    assert shop.rebuild()(shard, [sale.event_id])
    shop.epochs.refresh()
    _the_whole_log_once_more(neighbour, start, kafka)
    assert _statuses(sale) == []
    # The log has entries of other tests too, whose zones are in no database any more.
    assert not [one for one in shop.dead_letters.latest(None, 1_000) if sale.event_id.encode() in one.payload]
    sale.refused("EVENT_NOT_FOUND", sale.reserve)


def _shard(sale: Sale) -> int:
    return shard_of_event(sale.event_id, len(sale.shop.shards))


def _without(contents: dict[str, list[tuple[str, ...]]], booking_id: str) -> dict[str, list[tuple[str, ...]]]:
    """All but one booking; and the shards, which count its entry."""
    return {name: [row for row in rows if booking_id not in row] for name, rows in contents.items() if name != "shards"}


def test_a_consumer_that_marks_first_loses_what_it_had_in_hand(sale: Sale, start: Start) -> None:
    expected = _everything_happens(sale)
    relay = start(loops=["relay"])
    until(lambda: not sale.shop.outbox.read(_shard(sale), 1), 60, "all of it is in the log, and nowhere else")
    relay.stop()
    dying = start("offsets-first")
    until(lambda: not dying.running, 60, "it has died")
    start()
    with goes_red("still not: recorded"):
        _arrives(sale, expected, seconds=25)
