"""What a real gunicorn does with heads that are too large and bodies that are too slow, byte by byte."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.gunicorn import Gunicorn
from dev.redis import Redis
from tests.support.web import HEADERS, client_of, open_event, serving

BODY_TIMEOUT_S = 1
PATH = "/api/v1/bookings/reserve"
HEAD = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "holdfast", **HEADERS}.items())


@pytest.fixture(scope="module")
def server(session_directory: Path, database: str, redis_server: Redis) -> Iterator[Gunicorn]:
    with serving(
        session_directory / "web-of-limits",
        DATABASE_URL=database,
        REDIS_URL=redis_server.url,
        REDIS_TIMEOUT_MS="5000",  # a machine that stalls for a moment is not what these tests are about
        BODY_TIMEOUT_SECONDS=str(BODY_TIMEOUT_S),
        WEB_CONCURRENCY="1",
    ) as server:
        yield server


@pytest.fixture
def web(server: Gunicorn) -> Iterator[httpx.Client]:
    with client_of(server) as client:
        yield client


@pytest.fixture
def connection(server: Gunicorn) -> Iterator[socket.socket]:
    host, port = server.bind.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        yield connection


def until_closed(connection: socket.socket) -> bytes:
    """What is still to come, until the server has closed the connection."""
    received = b""
    try:
        while chunk := connection.recv(65_536):
            received += chunk
    except ConnectionResetError:  # it had not read all that we sent
        pass
    return received


def answer(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """Status and problem document, once the server has closed the connection."""
    head, _, body = until_closed(connection).partition(b"\r\n\r\n")
    assert b"application/problem+json" in head, head
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (f"GET /livez?{'x' * 4100} HTTP/1.1\r\nHost: h\r\n\r\n", "too long"),
        (f"GET /livez HTTP/1.1\r\nX-Long: {'x' * 8200}\r\n\r\n", "fields"),
        ("GET /livez HTTP/1.1\r\n" + "".join(f"X-{n}: {n}\r\n" for n in range(65)) + "\r\n", "fields"),
        ("GET /livez HTTP/1.1\r\nX Y: z\r\n\r\n", "not HTTP"),
        ("GET /livez HTTP/9.9\r\n\r\n", "not HTTP"),
        ("POST /livez HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "not HTTP"),
        ("POST /livez HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "not HTTP"),
        ("hello\r\n\r\n", "not HTTP"),
    ],
)
def test_a_head_that_cannot_be_read_is_a_problem_of_the_table_and_the_end_of_its_connection(
    connection: socket.socket, head: str, why: str
) -> None:
    connection.sendall(head.encode())
    status, problem = answer(connection)
    assert (status, problem["status"], problem["code"]) == (400, 400, "MALFORMED_REQUEST")
    assert why in problem["detail"]


def test_a_head_within_the_limits_is_read(web: httpx.Client) -> None:
    headers = {f"X-{n}": "x" for n in range(50)} | {"X-Long": "x" * 8000}
    assert web.get("/livez", headers=headers).status_code == 200


TOLD = "Content-Length: 1000\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n\r\n3e8\r\n"


@pytest.mark.parametrize("framing", [TOLD, CHUNKED])
def test_a_body_that_trickles_in_is_refused_in_time_and_its_connection_closed(
    connection: socket.socket, framing: str
) -> None:
    connection.sendall(f"POST {PATH} HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\n{framing}".encode())
    since = time.monotonic()
    connection.settimeout(0.1)
    received = b""
    while not received and time.monotonic() - since < 5:
        connection.sendall(b" ")
        try:
            received = connection.recv(65_536)
        except TimeoutError:
            continue
    seconds = time.monotonic() - since
    connection.settimeout(2)
    received += until_closed(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["code"] == "MALFORMED_REQUEST"
    assert "in time" in json.loads(body)["detail"]
    assert BODY_TIMEOUT_S * 0.9 < seconds < BODY_TIMEOUT_S + 1


def test_a_body_that_is_slow_and_yet_in_time_is_read(connection: socket.socket, web: httpx.Client) -> None:
    body = json.dumps({"event_id": open_event(web), "zone_id": "A", "quantity": 1}).encode()
    head = f"POST {PATH} HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode())
    for part in (body[:10], body[10:20], body[20:]):
        time.sleep(BODY_TIMEOUT_S / 5)
        connection.sendall(part)
    assert connection.recv(65_536).startswith(b"HTTP/1.1 201 ")


def test_a_client_that_goes_away_in_the_middle_of_its_body_is_no_bug(
    connection: socket.socket, server: Gunicorn, web: httpx.Client
) -> None:
    before = server.log.stat().st_size
    connection.sendall(f"POST {PATH} HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\n{TOLD}{{".encode())
    connection.close()
    time.sleep(0.5)
    assert web.get("/livez").status_code == 200
    told = server.log.read_text()[before:]
    assert "status=400" in told
    assert "Traceback" not in told
