"""Dead letters, from the consumer that buries them to the operator who sends them again, on real Kafka and Postgres."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from app.domain.ids import shard_of_event
from app.domain.model import Zone
from dev.redis import Redis
from tests.integration.worker.conftest import Line, wait_until
from tests.support import servers
from tests.support.seats import PRICE_MINOR, Sale
from worker.events import Message, encode_log

Ops = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def letters(database: str, redis_server: Redis) -> Ops:
    """`letters("show", 7)`: `flask ops dead-letters show 7`."""
    told = {"DATABASE_URL": database, "REDIS_URL": redis_server.url, "AUTH_MODE": "gateway", "ADMIN_TOKEN": "a" * 16}

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "ops", "dead-letters", *map(str, arguments)]
        environment = dict(servers.environment(**told))
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    return run


def _bury(line: Line, *messages: Message) -> None:
    """Has the recorder find these poisonous."""
    publisher, recorder = line.publisher(), line.recorder()
    assert not any(publisher.publish(messages))
    publisher.close()
    line.run("recorder", recorder.run)
    wait_until(lambda: recorder.poisoned == len(messages))


def test_a_letter_is_recorded_once_its_cause_is_mended_and_it_is_replayed(sale: Sale, line: Line, letters: Ops) -> None:
    booking_id = sale.reserve("ann", 2).booking.booking_id
    (entry,) = (dict(each) for each in sale.shop.outbox.read(_shard(sale), 10))
    _bury(line, encode_log(line.topics.reservation_log, _shard(sale), [entry | {"zone_id": "B"}]))
    (told,) = json.loads(letters("list", "--json").stdout)
    assert (told["partition"], told["state"]) == (_shard(sale), "waiting")
    assert "there is no zone B" in told["cause"]
    assert json.loads(told["payload"])["entries"][0]["booking_id"] == booking_id

    sale.shop.open_zone(
        Zone(event_id=sale.event_id, zone_id="B", name="B", capacity=5, price_minor=PRICE_MINOR, currency="THB")
    )
    number = told["id"]
    assert letters("replay", number).stdout == f"dead letter {number} will be sent again\n"
    assert letters("replay", number).stdout == f"dead letter {number} was resolved before\n"
    assert letters("discard", number).stdout == f"dead letter {number} was resolved before\n"
    assert letters("replay", "--all").stdout == "no dead letter waits\n"
    while line.row_relay().turn():
        pass
    wait_until(lambda: sale.history(booking_id) == [(1, "reserved", "reserve")])
    assert json.loads(letters("show", number, "--json").stdout)["state"] == "replayed"
    assert letters("list").stdout.split()[:2] == ["id", "at"]
    assert len(letters("list").stdout.splitlines()) == 1


def test_what_is_still_poisonous_is_a_new_letter_and_what_has_no_topic_holds_nobody_up(
    sale: Sale, line: Line, letters: Ops
) -> None:
    headers = (("any", b"\xff\x00"), ("empty", b""))
    _bury(line, Message(line.topics.reservation_log, b"\xfe", b"not json", partition=_shard(sale), headers=headers))
    line.shop.dead_letters.bury("gone", 0, 1, "its topic is gone", b"{}", b"", [])
    assert letters("replay", "--all").returncode == 0
    sale.shop.confirm("bob", sale.reserve("bob").booking.booking_id, None)
    while line.row_relay().turn():
        pass
    wait_until(lambda: len(line.dead_letters()) == 2)
    again, first = (
        each for each in line.shop.dead_letters.latest(None, 9) if each.topic == line.topics.reservation_log
    )
    assert (again.payload, again.key, again.headers) == (b"not json", b"\xfe", headers)
    assert again.offset > first.offset
    (told,) = line.read(line.topics.booking_events, 1)
    assert dict(told.headers)["ce_type"] == b"booking.confirmed"
    assert letters("discard", again.number).stdout == f"dead letter {again.number} is discarded\n"


def test_what_is_not_there_is_said_in_one_sentence(letters: Ops) -> None:
    for verb in ("show", "replay", "discard"):
        told = letters(verb, 987654)
        assert (told.returncode, told.stderr.count("\n")) == (1, 1), told.stderr
        assert "There is no dead letter 987654" in told.stderr
    assert letters("replay").returncode == 2
    assert letters("discard", 1, "--all").returncode == 2


def _shard(sale: Sale) -> int:
    return shard_of_event(sale.event_id, len(sale.shop.shards))
