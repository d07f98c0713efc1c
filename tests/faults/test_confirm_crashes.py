"""The web process is killed at each line of confirm: a retry of the client, or the worker alone, brings both stores to
one state."""

import itertools
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from kafka import KafkaConsumer

from app.wiring import Wiring
from dev.gunicorn import Gunicorn
from dev.kafka import Kafka
from dev.redis import Redis
from dev.worker import Worker
from tests.support import servers
from tests.support.buyers import Box, until
from tests.support.controls import altered_function, goes_red
from tests.support.dying_web import CRASH_POINTS, DyingWeb
from tests.support.seats import open_shop
from tests.support.web import serving

pytestmark = pytest.mark.timeout(180)
PAYMENT = "card-1"
CAPACITY, BYSTANDERS, SEATS = 10, 3, 2
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def shop(database: str, redis_server: Redis) -> Iterator[Wiring]:
    redis.Redis.from_url(redis_server.url).flushall()
    wiring = open_shop(database, redis_server.url)
    yield wiring
    wiring.close()


@dataclass
class Office:
    """The servers of this module, and what they say."""

    web: Gunicorn
    dies_after: Path
    shop: Wiring
    worker_settings: dict[str, str]
    events: Any
    told: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    @property
    def box(self) -> Box:
        return Box(self.web.base_url)

    @contextmanager
    def worker(self) -> Iterator[None]:
        worker = Worker(self.dies_after.parent / f"worker-{next(_numbers)}", self.worker_settings)
        worker.start()
        try:
            yield
        finally:
            worker.stop()

    def public(self, booking_id: str) -> set[str]:
        """The ids of the events that anybody was told of this booking."""
        for records in self.events.poll(timeout_ms=200).values():
            for record in records:
                self.told[record.key.decode()].add(dict(record.headers)["ce_id"].decode())
        return self.told[booking_id]


@pytest.fixture(scope="module")
def office(session_directory: Path, database: str, redis_server: Redis, kafka: Kafka, shop: Wiring) -> Iterator[Office]:
    directory = session_directory / "confirm-crashes"
    directory.mkdir()
    stores = {"DATABASE_URL": database, "REDIS_URL": redis_server.url, "AUTH_MODE": "gateway"}
    worker = {"ADMIN_TOKEN": "admin-token-of-the-tests", "APP_ENV": "development", "PIN_LIMIT_SECONDS": "3"}
    servers_of_worker = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    events = KafkaConsumer("booking.events", bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest")
    dies_after = directory / "dies-after"
    with serving(directory / "web", DyingWeb, DIES_AFTER=str(dies_after), WEB_CONCURRENCY="1", **stores) as web:
        environment = dict(servers.environment(**stores, **worker, **servers_of_worker))
        yield Office(web, dies_after, shop, environment, events)
    events.close()


def _crash(office: Office, point: str) -> tuple[str, str]:
    """A web process that dies at `point` of a confirm, beside a bystander's hold; answers event and booking."""
    box = office.box
    event_id = until(lambda: box.open_event(CAPACITY), 10, "the web process is back")
    assert box.reserve(event_id, "bystander", BYSTANDERS).status == 201
    booking_id = box.reserve(event_id, "ann", SEATS).body["booking_id"]
    office.dies_after.write_text(point)
    assert box.confirm(booking_id, "ann", payment_id=PAYMENT).status == 0
    assert not office.dies_after.exists(), "nobody died"
    return event_id, booking_id


def _retry(office: Office, booking_id: str) -> dict[str, Any]:
    answers = []

    def confirmed() -> bool:
        answers.append(office.box.confirm(booking_id, "ann", payment_id=PAYMENT))
        return answers[-1].status == 200

    until(confirmed, 30, "the retry is answered 200")
    assert {answer.status for answer in answers} <= {0, 503, 200}
    return answers[-1].body


def _wrong(office: Office, event_id: str, booking_id: str, status: str, cause: str) -> str:
    """What is not as it must be, in either store; "" if all is."""
    shop, confirmed = office.shop, SEATS if status == "confirmed" else 0
    seats = shop.availability.zone(event_id, "A").seats
    seen = (seats.confirmed, seats.held, seats.available)
    if seen != (confirmed, BYSTANDERS, CAPACITY - BYSTANDERS - confirmed):
        return f"Redis has {seen} seats (confirmed, held, available)"
    found = shop.postgres.rows(
        "SELECT b.status, z.confirmed_seats, coalesce(u.confirmed_seats, 0), "
        "(SELECT array_agg(h.status || ' ' || h.version || ' ' || h.cause ORDER BY h.version) "
        " FROM booking.booking_history AS h WHERE h.booking_id = b.booking_id) "
        "FROM booking.bookings AS b JOIN booking.zones AS z USING (event_id, zone_id) "
        "LEFT JOIN booking.user_seats AS u USING (event_id, user_id) WHERE b.booking_id = %s",
        [booking_id],
    )
    history = ["reserved 1 reserve", f"{status} 2 {cause}"]
    return "" if found == [(status, confirmed, confirmed, history)] else f"Postgres has {found}"


def _settles(office: Office, event_id: str, booking_id: str, status: str, cause: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while (wrong := _wrong(office, event_id, booking_id, status, cause)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not wrong, f"after {seconds} s: {wrong}"


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_a_web_process_killed_in_confirm_and_a_client_that_asks_again(office: Office, point: str) -> None:
    event_id, booking_id = _crash(office, point)
    code = _retry(office, booking_id)["confirmation_code"]
    _settles(office, event_id, booking_id, "confirmed", "confirm", seconds=0)  # and no worker was needed
    with office.worker():
        until(lambda: office.public(booking_id) == {f"{booking_id}:confirmed"}, 30, "its event is told")
        time.sleep(4)  # past the pin's limit
        _settles(office, event_id, booking_id, "confirmed", "confirm", seconds=0)
    assert _retry(office, booking_id)["confirmation_code"] == code
    assert office.public(booking_id) == {f"{booking_id}:confirmed"}


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_a_web_process_killed_in_confirm_and_the_worker_alone(office: Office, point: str) -> None:
    event_id, booking_id = _crash(office, point)
    status, cause = ("expired", "unconfirmed") if point == "pin" else ("confirmed", "confirm")
    with office.worker():
        _settles(office, event_id, booking_id, status, cause)
        until(lambda: office.public(booking_id) == {f"{booking_id}:{status}"}, 30, "its event is told")
    late = until(lambda: (a := office.box.confirm(booking_id, "ann", payment_id=PAYMENT)).status and a, 10, "an answer")
    assert late.status == (404 if point == "pin" else 200)
    _settles(office, event_id, booking_id, status, cause, seconds=0)


def test_control_a_pin_that_ends_without_a_record_of_it_goes_red(office: Office, database: str) -> None:
    event_id, booking_id = _crash(office, "pin")
    undecided = ("outcome = 'ENDED' AND v_booking.status = 'reserved'", "false")
    with (
        altered_function(database, "settle_bookings", *undecided),
        office.worker(),
        goes_red("Postgres has .*reserved"),
    ):
        _settles(office, event_id, booking_id, "expired", "unconfirmed", seconds=8)
