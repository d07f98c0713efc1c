"""What a load asks of whoever owns the servers: that one of them dies. Loopback only; each fault ends by itself."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import redis

from dev.process import Process
from dev.stack import Stack

_PAUSE_S, _AWAY_S = 1.5, 1.0


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, stack: Stack) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.one_at_a_time = threading.Lock()
        self.faults = {
            "/redis/pause": lambda: _pause(stack.redis),
            "/redis/kill": lambda: _kill(stack.redis),
            "/redis/empty": lambda: _empty(stack.redis.url),
            "/worker/kill": lambda: _kill(stack.worker),
        }


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        """204 when the fault has been, and the server is started again."""
        fault = self.server.faults.get(self.path)
        if fault is None:
            return self.send_error(404)
        with self.server.one_at_a_time:
            fault()
        self.send_response(204)
        return self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def serving(stack: Stack) -> Iterator[str]:
    """The address for FAULTS_URL, until the block ends."""
    server = _Server(stack)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


def _pause(process: Process) -> None:
    process.pause()
    try:
        time.sleep(_PAUSE_S)
    finally:
        process.resume()


def _kill(process: Process) -> None:
    process.kill()
    time.sleep(_AWAY_S)
    process.start()
    process.wait_until_ready()


def _empty(url: str) -> None:
    with redis.Redis.from_url(url, socket_timeout=5) as client:
        client.flushall()
