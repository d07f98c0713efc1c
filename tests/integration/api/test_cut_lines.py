"""The line between the web process and Postgres is cut at the worst moment: after the COMMIT, before its answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from dev.gunicorn import Gunicorn
from dev.proxy import Kind, Proxy
from dev.redis import Redis
from tests.support.controls import altered_function, goes_red
from tests.support.web import client_of, open_event, order, serving

_LINE = b"booking.confirm_bookings("


@pytest.fixture(scope="module")
def line(database: str) -> Iterator[Proxy]:
    port = urlsplit(database).port
    assert port
    with Proxy(port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def web(session_directory: Path, database: str, redis_server: Redis, line: Proxy) -> Iterator[Gunicorn]:
    redis.Redis.from_url(redis_server.url).flushall()
    directory = session_directory / "web-of-cut-lines"
    with serving(directory, DATABASE_URL=line.url(database), REDIS_URL=redis_server.url, WEB_CONCURRENCY="1") as web:
        yield web


def _confirm_over_a_line(web: Gunicorn, database: str, line: Proxy, kind: Kind) -> None:
    """The first confirm is lost after its commit; what the client sees of it, and what a retry finds."""
    with client_of(web) as client, psycopg.connect(database, autocommit=True) as postgres:
        event_id = open_event(client)
        booking_id = client.post("/bookings/reserve", json=order(event_id)).json()["booking_id"]
        fault = line.meet(_LINE, kind)
        lost = client.post(f"/bookings/{booking_id}/confirm", json={"payment_id": "card-1"})
        fault.wait(1)
        assert (lost.status_code, lost.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
        (code,) = _row(postgres, "SELECT confirmation_code FROM booking.bookings WHERE booking_id = %s", booking_id)
        assert code, "the commit was not lost, only its answer"
        for _ in range(2):
            again = client.post(f"/bookings/{booking_id}/confirm", json={"payment_id": "card-1"})
            assert again.status_code == 200, f"the retry does not find the truth: {again.text}"
            assert again.json()["confirmation_code"] == code
        other = client.post(f"/bookings/{booking_id}/confirm", json={"payment_id": "card-2"})
        assert (other.status_code, other.json()["code"]) == (409, "ALREADY_CONFIRMED")
        zone = client.get(f"/events/{event_id}/zones/A").json()
        assert (zone["capacity"] - zone["available"], zone["held"], zone["confirmed"]) == (1, 0, 1)
        assert _row(postgres, "SELECT confirmed_seats FROM booking.zones WHERE event_id = %s", event_id) == (1,)
        told = "SELECT count(*) FROM booking.outbox WHERE key = %s"
        assert _row(postgres, told, booking_id) == (1,)
        steps = "SELECT array_agg(status ORDER BY version) FROM booking.booking_history WHERE booking_id = %s"
        assert _row(postgres, steps, booking_id) == (["reserved", "confirmed"],)


def _row(postgres: psycopg.Connection[Any], query: str, parameter: str) -> tuple[Any, ...]:
    (row,) = postgres.execute(query.encode(), [parameter])
    return row


@pytest.mark.parametrize("kind", ["cut answer", "swallow answer"])
def test_a_confirm_whose_commit_is_never_answered_is_503_and_its_retry_finds_the_truth(
    web: Gunicorn, database: str, line: Proxy, kind: Kind
) -> None:
    _confirm_over_a_line(web, database, line, kind)


def test_control_a_retry_that_does_not_know_its_own_commit_again_goes_red(
    web: Gunicorn, database: str, line: Proxy
) -> None:
    with (
        altered_function(database, "confirm_bookings", "= 'confirmed' THEN 'CONFIRMED'", "= 'never' THEN 'CONFIRMED'"),
        goes_red("the retry does not find the truth"),
    ):
        _confirm_over_a_line(web, database, line, "cut answer")


def test_a_request_that_never_reached_postgres_is_503_and_its_retry_confirms(
    web: Gunicorn, database: str, line: Proxy
) -> None:
    with client_of(web) as client:
        event_id = open_event(client)
        booking_id = client.post("/bookings/reserve", json=order(event_id)).json()["booking_id"]
        fault = line.meet(_LINE, "hold request")
        assert client.post(f"/bookings/{booking_id}/confirm").status_code == 503
        assert client.post(f"/bookings/{booking_id}/confirm").status_code == 200
        fault.release()  # whatever the server still hears of the first attempt changes nothing
        zone = client.get(f"/events/{event_id}/zones/A").json()
        assert (zone["held"], zone["confirmed"]) == (0, 1)


def test_connections_that_are_all_cut_are_replaced_without_a_restart(web: Gunicorn, line: Proxy) -> None:
    with client_of(web) as client:
        event_id = open_event(client)
        line.cut()
        statuses = [client.get(f"/events/{event_id}").status_code for _ in range(6)]
        assert statuses[-1] == 200, statuses
        assert set(statuses) <= {200, 503}
