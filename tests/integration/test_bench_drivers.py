"""The bench's own driver for fixed rates, against a server that keeps count, and stalls when told to."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from bench import openloop, requests


class Counting(HTTPServer):
    """One request at a time. `stall_s`: before the first answer."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, Any]] = []
        self.stall_s = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Counting

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.server.seen:
            time.sleep(self.server.stall_s)
        self.server.seen.append((self.headers["X-User-ID"], body))
        self.send_response(201)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[Counting]:
    server = Counting()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _request() -> requests.Request:
    headers = {"X-User-ID": f"buyer-{requests.N}"}
    return requests.of("POST", "/reserve", headers, {"zone": requests.LINE}, lines=["A", "B", "C"])


def test_every_request_is_sent_once_with_its_own_number_and_its_line(server: Counting, tmp_path: Path) -> None:
    ran = openloop.run(server.url, _request(), tmp_path, rate=100, seconds=0.9, connections=1)
    assert (ran.sent, ran.status, ran.failed) == (90, {"201": 90}, 0)
    assert len({user for user, _ in server.seen}) == 90
    assert [body["zone"] for _, body in server.seen] == ["A", "B", "C"] * 30


def test_what_was_due_while_the_server_stalled_counts_as_long_as_it_waited(server: Counting, tmp_path: Path) -> None:
    """A closed loop would count one slow request; half of these were due in the second before the first answer."""
    server.stall_s = 1.0
    ran = openloop.run(server.url, _request(), tmp_path, rate=50, seconds=1.0, connections=1)
    assert ran.status == {"201": 50}
    assert ran.p50_ms > 400
    assert ran.p99_ms > 900


def test_a_request_of_a_file_is_sent_as_it_stands_there(server: Counting, tmp_path: Path) -> None:
    file = tmp_path / "peer.http"
    file.write_text('POST /reserve HTTP/1.1\nX-User-ID: u-{n}\nContent-Type: application/json\n\n{"zone":"A"}\n')
    ran = openloop.run(server.url, requests.read(file), tmp_path, rate=20, seconds=0.5, connections=1)
    assert ran.status == {"201": 10}
    assert {body["zone"] for _, body in server.seen} == {"A"}
