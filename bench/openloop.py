"""The open loop: requests at a fixed rate, whether or not those before have been answered.

Latency is counted from the moment a request was due, not from when it could be sent: while the server stalls, the
requests that would have come in that time wait, and their waiting counts (no coordinated omission). One thread on
epoll, some fifteen microseconds a request; it tells its own share of a processor and how late it was itself.

As a program it reads its task as JSON from standard input and prints what it counted: the measuring process must not
share an interpreter with the driver.
"""

import json
import select
import socket
import subprocess
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bench import requests
from bench.requests import Request

_PATIENCE_S: Final = 5.0
"""For the answers that are still to come when the last request has been sent."""


@dataclass(frozen=True)
class Open:
    """What the driver counted. `late_p99_ms`: how long after their moment requests were sent although a connection was
    free; `cpu`: processors that the driver used."""

    rate: float
    sent: int
    status: dict[str, int]
    failed: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    late_p99_ms: float
    cpu: float


def run(url: str, request: Request, directory: Path, rate: float, seconds: float, connections: int = 256) -> Open:
    """In a process of its own, to its end. Raises `RuntimeError` when that fails."""
    where = urlsplit(url)
    text, lines = request.write(directory, where.netloc)
    task = {
        "address": [where.hostname, where.port or 80],
        "text": str(text),
        "lines": str(lines),
        "first": requests.fresh_base(),
        "rate": rate,
        "seconds": seconds,
        "connections": connections,
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.openloop"],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        timeout=seconds + _PATIENCE_S + 30,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the open-loop driver failed: {done.stderr[-1000:]}")
    return Open(**json.loads(done.stdout))


class _Connection:
    __slots__ = ("due", "received", "socket")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=_PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.received = b""
        self.due = 0.0


class _Driver:
    def __init__(self, task: dict[str, Any]) -> None:
        self._address = tuple(task["address"])
        self._texts = _texts(Path(task["text"]).read_bytes(), Path(task["lines"]).read_bytes().split(), task["first"])
        self._interval, self._count = 1 / task["rate"], int(task["rate"] * task["seconds"])
        self._epoll = select.epoll()
        self._by_fd: dict[int, _Connection] = {}
        self._idle: list[_Connection] = [self._connect() for _ in range(task["connections"])]
        self._waiting: deque[float] = deque()
        self._latencies, self._lateness = array("d"), array("d")
        self._status: Counter[str] = Counter()
        self._failed = 0

    def __call__(self) -> Open:
        start, cpu = time.perf_counter() + 0.05, time.process_time()
        sent, due = 0, start
        last = start + self._count * self._interval + _PATIENCE_S
        while sent < self._count or len(self._idle) < len(self._by_fd) or self._waiting:
            now = time.perf_counter()
            if now > last:
                self._failed += len(self._by_fd) - len(self._idle) + len(self._waiting)
                break
            while due <= now and sent < self._count:
                if self._idle:
                    self._lateness.append(now - due)
                    self._send(self._idle.pop(), due)
                else:
                    self._waiting.append(due)
                sent += 1
                due = start + sent * self._interval
            self._receive((due if sent < self._count else last) - time.perf_counter())
        took = time.perf_counter() - start
        latencies, lateness = sorted(self._latencies), sorted(self._lateness)
        return Open(
            rate=sent / (self._count * self._interval),
            sent=sent,
            status=dict(self._status),
            failed=self._failed,
            p50_ms=_percentile(latencies, 0.5),
            p99_ms=_percentile(latencies, 0.99),
            p999_ms=_percentile(latencies, 0.999),
            late_p99_ms=_percentile(lateness, 0.99),
            cpu=(time.process_time() - cpu) / took,
        )

    def _connect(self) -> _Connection:
        connection = _Connection(self._address)
        self._epoll.register(connection.socket, select.EPOLLIN)
        self._by_fd[connection.socket.fileno()] = connection
        return connection

    def _send(self, connection: _Connection, due: float) -> None:
        connection.due = due
        try:
            connection.socket.send(next(self._texts))  # fits the socket's buffer: nothing else waits in it
        except OSError:
            self._replace(connection)

    def _receive(self, timeout_s: float) -> None:
        # In whole milliseconds, as wrk2 waits: to be woken for each request costs the machine more than to send it.
        for fd, _ in self._epoll.poll(max(0.0, timeout_s)):
            connection = self._by_fd[fd]
            try:
                data = connection.socket.recv(65536)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                self._replace(connection)
                continue
            connection.received += data
            if _is_whole(connection.received):
                self._answered(connection)

    def _answered(self, connection: _Connection) -> None:
        self._latencies.append(time.perf_counter() - connection.due)
        self._status[connection.received[9:12].decode("latin-1")] += 1
        connection.received = b""
        self._free(connection)

    def _free(self, connection: _Connection) -> None:
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _replace(self, connection: _Connection) -> None:
        """The server has closed it: what was asked on it has no answer."""
        if connection in self._idle:
            self._idle.remove(connection)
        else:
            self._failed += 1
        del self._by_fd[connection.socket.fileno()]
        connection.socket.close()
        self._free(self._connect())


def _texts(text: bytes, lines: list[bytes], number: int) -> Iterator[bytes]:
    parts = text.split(requests.N.encode())
    line = requests.LINE.encode()
    at = 0
    while True:
        number += 1
        whole = (b"%012d" % number).join(parts)
        if lines:
            whole = whole.replace(line, lines[at % len(lines)])
            at += 1
        yield whole


def _is_whole(data: bytes) -> bool:
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = data[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        raise ValueError(f"an answer without Content-Length: {head[:200]!r}")
    return len(data) >= end + 4 + int(head[at + 17 :].split(b"\r\n", 1)[0])


def _percentile(ordered: list[float], share: float) -> float:
    """In milliseconds; 0 of nothing."""
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3, 3) if ordered else 0.0


if __name__ == "__main__":
    print(json.dumps(asdict(_Driver(json.load(sys.stdin))())))
