"""gunicorn's own worker and ours, each over socket pairs in this process: the same bytes, and what becomes of them.

Both have the configuration of `gunicorn.conf.py`. Refusals are worded by gunicorn itself here, which tells them apart
better than our table does."""

import array
import fcntl
import logging
import os
import re
import runpy
import socket
import termios
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import gevent
from gevent import socket as gevent_socket
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.ggevent import GeventWorker

from serving.connection import Connection
from serving.draining import DrainingWorker
from serving.plain import PlainRequest
from serving.turn import ENVIRON_KEY
from serving.worker import PlainWorker

ROOT: Final = Path(__file__).resolve().parents[2]
PEER: Final = ("127.0.0.1", 40_000)
_TURNS: Final = 2000
"""Of the event loop, in which a worker must have done what it does with some bytes."""
_DATE: Final = re.compile(rb"\r\nDate: [^\r]*\r\n")
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def configuration(**settings: Any) -> Config:
    """Of gunicorn.conf.py, with these in place of its own."""
    cfg = Config()
    given = runpy.run_path(str(ROOT / "gunicorn.conf.py")) | {
        "errorlog": os.devnull,
        "loglevel": "critical",
        "worker_class": "gevent",
    }
    for name, value in (given | settings).items():
        if name in cfg.settings:
            cfg.set(name, value)
    assert cfg.http_parser == "python"
    return cfg


class Stock(DrainingWorker):
    handle_error = GeventWorker.handle_error


class Ours(PlainWorker):
    handle_error = GeventWorker.handle_error
    answered = 0
    """Requests that took the shorter way."""

    def _answer(self, request: PlainRequest, connection: Connection) -> bool:
        self.answered += 1
        return super()._answer(request, connection)


def worker(kind: type[DrainingWorker], application: Wsgi, cfg: Config) -> Any:
    """One of this kind that has its application and never runs: its connections are given to it one by one."""
    made = kind(1, os.getpid(), [], None, 30, cfg, Logger(cfg))
    made.wsgi = application
    return made


@dataclass
class Application:
    """Notes each request as it sees it, and answers according to its path."""

    seen: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        noted = {name: _comparable(value) for name, value in environ.items() if name != ENVIRON_KEY}  # ours alone
        self.seen.append(noted)
        path = environ["PATH_INFO"]
        if path != "/unread":
            noted["the body"] = environ["wsgi.input"].read()
        return _answer(path, len(noted.get("the body", b"")), start_response)


def _comparable(value: Any) -> Any:
    return value if isinstance(value, str | int | tuple) else "an object"


def _answer(path: str, length: int, start_response: Any) -> Iterable[bytes]:
    if path == "/raises":
        raise RuntimeError("the application has a bug")
    if path == "/raises-late":
        start_response("200 OK", [("Content-Length", "10")])
        return _half()
    if path == "/parts":
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Odd", " spaces ")])
        return iter([b"one", b"", b"two"])
    if path == "/empty":
        start_response("204 No Content", [("Content-Length", "0"), ("Connection", "upgrade")])
        return []
    if path == "/not-modified":
        start_response("304 Not Modified", [("ETag", '"x"')])
        return [b""]
    if path == "/too-much":
        start_response("200 OK", [("Content-Length", "3")])
        return [b"12345"]
    if path == "/writes":
        write = start_response("200 OK", [("Content-Length", "6")])
        write(b"abc")
        return [b"def"]
    if path == "/bad-header":
        start_response("200 OK", [("X-Split", "a\r\nX-More: b")])
        return [b"x"]
    body = b"read %d" % length
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def _half() -> Iterator[bytes]:
    yield b"12345"
    raise RuntimeError("the application has a bug")


@dataclass(frozen=True)
class Outcome:
    """What a client sees, and what the application saw."""

    answers: bytes
    """Before the client had ended its side; dates left out."""
    closed: bool
    """By the server, on its own account."""
    last_answers: bytes
    """After the client had ended its side."""
    ended: bool
    """The server's side of the connection, once the client had ended its own."""
    requests: list[dict[str, Any]]


class Workers:
    """The two, side by side."""

    def __init__(self, application: Wsgi | None = None, **settings: Any) -> None:
        """`application`: in place of ours, which it may hand on to."""
        self.application = Application()
        self.conversations = 0
        cfg = configuration(**settings)
        logging.getLogger("gunicorn.http.wsgi").setLevel(logging.ERROR)
        self.stock = worker(Stock, application or self.application, cfg)
        self.ours = worker(Ours, application or self.application, cfg)
        self.listener = socket.create_server(("127.0.0.1", 0))

    def close(self) -> None:
        self.listener.close()

    def compare(self, name: str, parts: list[bytes]) -> Outcome:
        """Sends `parts` to both, one after the other; fails when anything differs."""
        self.conversations += 1
        expected, actual = self.converse(self.stock, parts), self.converse(self.ours, parts)
        for fact in Outcome.__dataclass_fields__:
            stock, ours = getattr(expected, fact), getattr(actual, fact)
            assert stock == ours, f"{name}: {fact} differ\n  sent: {parts!r}\n  stock: {stock!r}\n  ours: {ours!r}"
        return expected

    def converse(self, server: Any, parts: list[bytes]) -> Outcome:
        self.application.seen = []
        with connection() as (client, served):
            greenlet = gevent.spawn(server.handle, self.listener, served, PEER)
            fd = served.fileno()
            answers = b""
            for part in parts:
                with suppress(BrokenPipeError, ConnectionResetError):
                    client.sendall(part)
                _until_calm(greenlet, fd)
                answers += received(client)
            closed = greenlet.dead
            with suppress(OSError):
                client.shutdown(socket.SHUT_WR)
            _until_calm(greenlet, fd, turns=4)  # an end shows in no count of unread bytes
            last = received(client)
            ended = greenlet.dead
            greenlet.kill()
        return Outcome(_DATE.sub(b"\r\n", answers), closed, _DATE.sub(b"\r\n", last), ended, self.application.seen)


@contextmanager
def connection() -> Iterator[tuple[socket.socket, Any]]:
    left, right = socket.socketpair()
    served = gevent_socket.socket(left.family, left.type, left.proto, fileno=left.detach())
    right.settimeout(5)
    try:
        yield right, served
    finally:
        right.close()
        served.close()


def _until_calm(greenlet: Any, fd: int, turns: int = 2) -> None:
    """Until the server has ended the connection, or has read all that there is and waits for more."""
    calm = 0
    for _ in range(_TURNS):
        gevent.idle()
        calm = calm + 1 if not _unread(fd) else 0
        if calm == turns or greenlet.dead:
            return
    raise AssertionError("the worker does not come to rest")


def _unread(fd: int) -> int:
    count = array.array("i", [0])
    try:
        fcntl.ioctl(fd, termios.FIONREAD, count)
    except OSError:  # closed
        return 0
    return count[0]


def received(client: socket.socket) -> bytes:
    data = b""
    client.setblocking(False)
    try:
        while chunk := client.recv(65_536):
            data += chunk
    except (BlockingIOError, ConnectionResetError):
        pass
    client.settimeout(5)
    return data
