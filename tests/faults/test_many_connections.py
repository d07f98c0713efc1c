"""Connections that cost more than they bring: idle ones, heads and bodies that trickle in, answers that nobody reads.

Each is closed in its time, holds little and hinders nobody else. Real gunicorns, most with nothing behind them; figures
are printed, for our worker and the stock one."""

import resource
import selectors
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from dev.gunicorn import Gunicorn
from dev.redis import Redis
from tests.support.controls import goes_red
from tests.support.hello_web import HelloWeb, hello
from tests.support.large_web import BYTES, LargeWeb, UnsweptWeb
from tests.support.web import HEADERS, serving

IDLE = 10_000
TRICKLING = 1_000
UNREAD = 200
_SLACK_S = 6.0
"""For a sweep, and for a machine that is shared."""
ASK = b"GET / HTTP/1.1\r\nHost: holdfast\r\n\r\n"


@pytest.fixture(autouse=True)
def _files() -> Iterator[None]:
    """Each connection is an open file, here and there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * IDLE if hard == resource.RLIM_INFINITY else min(2 * IDLE, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, soft), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(web: Gunicorn) -> socket.socket:
    host, port = web.bind.split(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


@contextmanager
def connections(web: Gunicorn, count: int) -> Iterator[list[socket.socket]]:
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            opened.append(connect(web))
        yield opened
    finally:
        for connection in opened:
            connection.close()


def megabytes(web: Gunicorn) -> float:
    return sum(psutil.Process(pid).memory_info().rss for pid in web.worker_pids()) / 1e6


def cpu_seconds(web: Gunicorn) -> float:
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in web.worker_pids())


def ask(connection: socket.socket) -> bytes:
    connection.sendall(ASK)
    answer = b""
    while not answer.endswith(b"}"):
        answer += connection.recv(1000)
    return answer


def milliseconds_of_others(web: HelloWeb) -> float:
    """The median of what a client with a connection of its own waits for."""
    with closing(connect(web)) as connection:
        times = []
        for _ in range(50):
            since = time.perf_counter()
            assert ask(connection).startswith(b"HTTP/1.1 200 OK")
            times.append(time.perf_counter() - since)
    return statistics.median(times) * 1000


def until_all_are_closed(
    opened: list[socket.socket], seconds: float, meanwhile: Callable[[socket.socket], None] = lambda _: None
) -> list[float]:
    """When each was closed by the server, in seconds from now; in between, `meanwhile` does something with each."""
    since = time.monotonic()
    closed: list[float] = []
    with selectors.DefaultSelector() as selector:
        for connection in opened:
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ)
        round_at = since
        while selector.get_map():
            now = time.monotonic() - since
            assert now < seconds, f"{len(selector.get_map())} of {len(opened)} are open after {seconds:g} s"
            if time.monotonic() >= round_at:
                round_at += 1
                for key in list(selector.get_map().values()):
                    with suppress(OSError):  # closed: it will be found so below
                        meanwhile(key.fileobj)  # type: ignore[arg-type]
            for key, _ in selector.select(0.05):
                try:
                    ended = not key.fileobj.recv(65_536)  # type: ignore[union-attr]
                except ConnectionResetError:
                    ended = True
                if ended:
                    closed.append(time.monotonic() - since)
                    selector.unregister(key.fileobj)
    return closed


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["own", "stock"])
def test_ten_thousand_idle_connections_cost_little_and_are_closed_in_their_time(
    session_directory: Path, kind: str
) -> None:
    keep_s = 30.0
    with hello(
        session_directory / f"web-of-idle-{kind}", f"--keep-alive {keep_s:g}", HTTP_WORKER=kind, WEB_CONCURRENCY="2"
    ) as web:
        assert milliseconds_of_others(web)
        before = megabytes(web)
        since = time.monotonic()
        with connections(web, IDLE) as opened:
            for connection in opened[::2]:
                assert ask(connection)
            seconds = time.monotonic() - since
            held, cpu = megabytes(web) - before, cpu_seconds(web)
            waited = milliseconds_of_others(web)
            time.sleep(3)
            idle_cpu = (cpu_seconds(web) - cpu) / 3
            closed = until_all_are_closed(opened, keep_s + _SLACK_S)
        print(
            f"{kind}: {IDLE} connections within {seconds:.1f} s hold {held * 1000 / IDLE:.1f} kB each; another client "
            f"waits {waited:.2f} ms; idle, they take {idle_cpu:.1%} of a core; all are closed {max(closed):.1f} s later"
        )
        assert held * 1000 / IDLE < 60
        assert waited < 100
        assert milliseconds_of_others(web)


def trickle(connection: socket.socket) -> None:
    connection.send(b"x")


def _heads_that_never_end(directory: Path, web_kind: type[HelloWeb], kind: str) -> None:
    keep_s = 8.0
    with hello(directory, f"--keep-alive {keep_s:g}", web_kind, HTTP_WORKER=kind, WEB_CONCURRENCY="1") as web:
        assert milliseconds_of_others(web)
        before, cpu = megabytes(web), cpu_seconds(web)
        with connections(web, TRICKLING) as opened:
            for connection in opened:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: holdfast\r\nX-Slow: ")
            waited = milliseconds_of_others(web)
            held = megabytes(web) - before
            closed = until_all_are_closed(opened, keep_s + _SLACK_S, trickle)
        print(
            f"{kind}: {TRICKLING} heads a byte a second hold {held * 1000 / TRICKLING:.1f} kB each, took "
            f"{cpu_seconds(web) - cpu:.2f} s of a core in all; another client waits {waited:.2f} ms; closed after "
            f"{min(closed):.1f} to {max(closed):.1f} s"
        )
        assert held * 1000 / TRICKLING < 100
        assert waited < 200
        assert milliseconds_of_others(web)


@pytest.mark.parametrize("kind", ["own", "stock"])
def test_a_thousand_heads_that_never_end_are_closed_in_their_time(session_directory: Path, kind: str) -> None:
    _heads_that_never_end(session_directory / f"web-of-loris-{kind}", HelloWeb, kind)


def test_control_without_a_sweep_they_stay(session_directory: Path) -> None:
    with goes_red("1000 of 1000 are open after 14 s"):
        _heads_that_never_end(session_directory / "web-of-unswept", UnsweptWeb, "own")


def test_a_thousand_bodies_that_trickle_in_are_refused_in_their_time(
    session_directory: Path, database: str, redis_server: Redis
) -> None:
    """Their time is the application's, which is why it is Holdfast itself here."""
    bound_s = 8
    fields = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "holdfast", **HEADERS}.items())
    head = f"POST /bookings/reserve HTTP/1.1\r\n{fields}Content-Type: application/json\r\nContent-Length: 900\r\n\r\n"
    directory = session_directory / "web-of-slow-bodies"
    given = {"DATABASE_URL": database, "REDIS_URL": redis_server.url, "BODY_TIMEOUT_SECONDS": str(bound_s)}
    with serving(directory, **given, WEB_CONCURRENCY="1") as web:
        before, cpu = megabytes(web), cpu_seconds(web)
        with connections(web, TRICKLING) as opened:
            for connection in opened:
                connection.sendall(head.encode())
            held = megabytes(web) - before
            since = time.monotonic()
            assert web.status("/readyz") == 200
            waited = time.monotonic() - since
            closed = until_all_are_closed(opened, bound_s + 2 * _SLACK_S, trickle)
        print(
            f"own: {TRICKLING} bodies a byte a second hold {held * 1000 / TRICKLING:.1f} kB each, took "
            f"{cpu_seconds(web) - cpu:.2f} s of a core in all, log lines included; another client waits "
            f"{waited * 1000:.1f} ms; closed after {min(closed):.1f} to {max(closed):.1f} s"
        )
        assert held * 1000 / TRICKLING < 200
        assert web.log.read_text().count("status=400") == TRICKLING


def _answers_that_nobody_reads(directory: Path, kind: str) -> None:
    keep_s = 8.0
    bound_s = 2 * keep_s + _SLACK_S  # the first answers may still fit into the kernel's buffers
    with hello(directory, f"--keep-alive {keep_s:g}", LargeWeb, HTTP_WORKER=kind, WEB_CONCURRENCY="1") as web:
        with closing(connect(web)) as connection:
            assert connection.sendall(ASK) is None
            assert connection.recv(15).startswith(b"HTTP/1.1 200 OK")
        before = megabytes(web)
        with connections(web, UNREAD) as opened:
            for connection in opened:
                connection.sendall(ASK * 64)
            time.sleep(2)
            held = megabytes(web) - before
            since = time.monotonic()
            process = psutil.Process(web.worker_pids()[0])
            while (left := len(process.net_connections("tcp")) - 1) and time.monotonic() - since < bound_s:
                time.sleep(0.5)
            print(
                f"{kind}: {UNREAD} who asked for {64 * BYTES >> 20} MiB each and read nothing hold {held:.0f} MB; "
                f"{UNREAD - left} are closed after {time.monotonic() - since + 2:.1f} s"
            )
            assert held < UNREAD * BYTES / 1e6 / 4
            assert not left, f"{left} who do not read are connected after {bound_s:g} s"


def test_answers_that_nobody_reads_hold_no_memory_and_are_given_up(session_directory: Path) -> None:
    _answers_that_nobody_reads(session_directory / "web-of-unread", "own")


def test_control_the_stock_worker_waits_for_whoever_does_not_read(session_directory: Path) -> None:
    with goes_red("200 who do not read are connected after 22 s"):
        _answers_that_nobody_reads(session_directory / "web-of-unread-stock", "stock")
