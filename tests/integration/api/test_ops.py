"""`flask ops events, zones, booking, tail` on real stores, as an operator types them."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from app.wiring import Wiring
from dev.redis import Redis
from tests.integration.api.conftest import ADMIN_TOKEN
from tests.support import servers
from tests.support.seats import Clock, Sale, open_sale, open_shop

Ops = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def shop(database: str, redis_server: Redis) -> Iterator[Wiring]:
    redis.Redis.from_url(redis_server.url).flushall()
    wiring = open_shop(database, redis_server.url)
    yield wiring
    wiring.close()


@pytest.fixture
def sale(shop: Wiring) -> Sale:
    return open_sale(shop, Clock())


@pytest.fixture
def environment(database: str, redis_server: Redis) -> dict[str, str]:
    told = {"DATABASE_URL": database, "REDIS_URL": redis_server.url, "AUTH_MODE": "gateway", "ADMIN_TOKEN": ADMIN_TOKEN}
    return dict(servers.environment(**told))


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "flask", "--app", "wsgi", "ops", *arguments]


@pytest.fixture
def ops(environment: dict[str, str]) -> Ops:
    """`ops("zones", EVENT)`."""
    return lambda *arguments: subprocess.run(
        _command(*arguments), env=environment, capture_output=True, text=True, timeout=60
    )


@contextmanager
def following(environment: dict[str, str], *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """`ops tail` in the background, killed at the end if it is still there."""
    command = _command("tail", *arguments)
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _lines(process: "subprocess.Popen[str]", count: int) -> list[Any]:
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(count)]


def test_events_and_zones_tell_the_seats_of_this_instant_as_a_table_and_as_the_api_does(ops: Ops, sale: Sale) -> None:
    sale.shop.confirm("bob", sale.reserve("bob", 3).booking.booking_id, None)
    sale.reserve("ann", 2)
    (row,) = [line for line in ops("events").stdout.splitlines() if line.startswith(f"{sale.event_id} ")]
    assert row.split()[2:7] == ["1", "10", "5", "2", "3"]
    told = json.loads(ops("events", "--json").stdout)["data"]
    assert [event["available"] for event in told if event["event_id"] == sale.event_id] == [5]

    assert ops("zones", sale.event_id).stdout.splitlines()[1].split()[2:] == ["150.00", "THB", "10", "5", "2", "3"]
    (zone,) = json.loads(ops("zones", sale.event_id, "--json").stdout)["data"]
    assert (zone["available"], zone["held"], zone["confirmed"]) == (5, 2, 3)


def test_what_is_not_there_is_said_in_one_line(ops: Ops) -> None:
    for arguments in (["zones", "nothing"], ["booking", "0198f3a2-7c41-8007-9d2e-5b1f0a6c3e84"], ["booking", "no-id"]):
        ended = ops(*arguments)
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1].startswith("Error: ")
        assert "NOT_FOUND" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_booking_that_only_redis_knows_is_shown_without_asking_for_its_user(ops: Ops, sale: Sale) -> None:
    booking_id = sale.reserve("ann", 2).booking.booking_id
    told = json.loads(ops("booking", booking_id, "--json").stdout)
    assert (told["redis"]["status"], told["redis"]["user_id"], told["redis"]["pinned"]) == ("reserved", "ann", False)
    assert told["redis"]["expires_in"] > 500
    assert told["postgres"] is None
    assert (told["history"], told["silent"]) == ([], {})


def test_a_booking_stands_side_by_side_with_its_history(ops: Ops, sale: Sale) -> None:
    booking_id = sale.reserve("ann", 2).booking.booking_id
    sale.shop.confirm("ann", booking_id, "pay-1")
    sale.record()
    told = json.loads(ops("booking", booking_id, "--json").stdout)
    assert told["postgres"]["status"] == "confirmed"
    assert [(line["version"], line["status"]) for line in told["history"]] == [(1, "reserved"), (2, "confirmed")]
    page = ops("booking", booking_id).stdout
    assert page.startswith(booking_id)
    rows = {line.split()[0]: line.split()[1:] for line in page.splitlines() if line.split()}
    assert rows["status"][-1] == "confirmed"
    assert rows["payment"][-1] == "pay-1"
    assert rows["2"][0] == "confirmed"


def test_a_store_that_is_away_does_not_hide_the_other(environment: dict[str, str], sale: Sale) -> None:
    booking_id = sale.reserve().booking.booking_id
    sale.record()
    away = {**environment, "REDIS_URL": "redis://127.0.0.1:1"}
    command = _command("booking", booking_id, "--json")
    told = json.loads(subprocess.run(command, env=away, capture_output=True, text=True, timeout=60).stdout)
    assert told["redis"] is None
    assert "Redis" in told["silent"]["redis"]
    assert told["postgres"]["booking_id"] == booking_id


def test_tail_tells_what_was_recorded_since_a_time_and_ends_after_its_limit(ops: Ops, sale: Sale) -> None:
    sale.reserve("too-early")
    sale.record()
    time.sleep(1.5)  # past the second by which a start may be early
    since = datetime.now(UTC).isoformat()
    ids = {sale.reserve(user).booking.booking_id for user in ("u-1", "u-2", "u-3")}
    sale.record()
    ended = ops("tail", "--since", since, "--limit", "2", "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    first, second = map(json.loads, ended.stdout.splitlines())
    assert {first["booking_id"], second["booking_id"]} < ids
    assert first.keys() == {"at", "booking_id", "event_id", "zone_id", "user_id", "quantity", "status", "cause"}
    line = ops("tail", "--since", "10m", "--limit", "1").stdout
    assert line.count("\n") == 1
    assert "  reserved  " in line


def test_tail_follows_live_from_now_on_and_ctrl_c_ends_it_without_a_word(
    environment: dict[str, str], sale: Sale
) -> None:
    sale.reserve("before")
    sale.record()
    with following(environment, "--json") as process:
        wanted: set[str] = set()
        seen: list[Any] = []
        reader = threading.Thread(target=lambda: seen.extend(_lines(process, 2)), daemon=True)
        reader.start()
        deadline = time.monotonic() + 30
        # When it has begun to follow shows only in its first line.
        while reader.is_alive() and time.monotonic() < deadline:
            wanted.add(sale.reserve(f"after-{len(wanted)}").booking.booking_id)
            sale.record()
            reader.join(timeout=1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert {line["booking_id"] for line in seen} <= wanted
    assert len(seen) == 2
    assert (process.returncode, errors) == (0, "")


def test_a_wrong_since_is_explained(ops: Ops) -> None:
    for wrong in ("yesterday", "10", "2026-08-01T20:00:00", "5y"):
        ended = ops("tail", "--since", wrong)
        assert ended.returncode == 2
        assert "2026-08-01T20:00:00Z" in ended.stderr
