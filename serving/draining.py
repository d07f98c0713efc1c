"""gunicorn's gevent worker, made to end without losing a request. Only gunicorn loads this module.

gunicorn's own one stops listening within a second of SIGTERM and cuts every connection at the end of its grace period,
whatever is on it. Ours, when told to end:

1. serves on for `DRAIN_SECONDS`, new connections included, so that a balancer notices that `/readyz` says 503, and so
   that the processes which take over have started. Each answer says `Connection: close` (gunicorn does that as soon as
   a worker is not `alive`): clients that ask in this time move over without losing anything;
2. stops listening. What waits in the kernel's queue is for the other processes that share the socket;
3. closes each connection once it has been quiet for a second with nothing unread, and lets the others have their
   answer, for as long as our waits can take together.
"""

import json
import logging
import time
from functools import partial
from select import POLLIN
from typing import Any, Final, Protocol

import gevent
from gevent.monkey import get_original
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.http.errors import (
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from gunicorn.sock import ssl_context
from gunicorn.util import write_nonblock
from gunicorn.workers.ggevent import GeventWorker

log = logging.getLogger(__name__)
_TICK_S: Final = 0.1
_QUIET_S: Final = 1.0
"""A client that has just connected, or got its last answer a moment ago, is about to ask: not to be closed on."""
IN_FLIGHT_S: Final = 15.0
"""For what is in flight when listening has ended: a slow body (`BODY_TIMEOUT_SECONDS`) and all our waits after it."""


class Waiting(Protocol):
    """A connection's wait for its next request."""

    since: float
    """In seconds of the monotonic clock."""
    client: Any
    """Its socket."""

    def end(self) -> None:
        """As if the time were up: the connection is closed."""


class Wait(gevent.Timeout):  # type: ignore[misc]
    """A connection's wait for its next request, bounded like gunicorn's; it knows since when, and on whom to call."""

    def __init__(self, seconds: float, waits: "set[Wait]", greenlet: Any, client: Any) -> None:
        super().__init__(seconds, False)
        self._waits = waits
        self._greenlet = greenlet
        self.client = client
        self.since = time.monotonic()

    def __enter__(self) -> "Wait":
        self._waits.add(self)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        self._waits.discard(self)
        return super().__exit__(*error)

    def end(self) -> None:
        self._greenlet.kill(self, block=False)


class DrainingWorker(GeventWorker):  # type: ignore[misc]
    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self._waits: set[Wait] = set()
        self._clients: dict[Any, Any] = {}

    def handle(self, listener: Any, client: Any, address: Any) -> None:
        """One connection, from its first request to its last."""
        greenlet = gevent.getcurrent()
        self._clients[greenlet] = client
        try:
            super().handle(listener, client, address)
        finally:
            del self._clients[greenlet]

    def handle_error(self, request: Any, client: Any, address: Any, error: BaseException) -> None:
        """A head that cannot be read never reaches the application: it is refused here, by the same table."""
        if not isinstance(error, ParseException) or isinstance(
            error, (InvalidResponseHeader, InvalidResponseHeaderName)
        ):
            super().handle_error(request, client, address, error)  # a bug: logged whole
            return
        log.warning("a request whose head cannot be read: %s", type(error).__name__)
        write_nonblock(client, _unreadable(_WHY.get(type(error), "it is not HTTP as we take it")))

    def timeout_ctx(self) -> Wait:
        """Entered by gunicorn for as long as it waits for a request."""
        greenlet = gevent.getcurrent()
        return Wait(self.cfg.keepalive, self._waits, greenlet, self._clients[greenlet])

    def run(self) -> None:
        """Until SIGTERM, and then until nothing is in flight."""
        servers = [self._listen(listener) for listener in self.sockets]
        while self.alive:
            self._tick()
        self._tick(until=time.monotonic() + self.wsgi.extensions["holdfast.settings"].drain_seconds)
        for server in servers:
            server.close()
        deadline = time.monotonic() + IN_FLIGHT_S
        while self._clients and time.monotonic() < deadline:
            self._close_quiet_connections()
            self._tick()
        if self._clients:
            log.warning("%d connections did not end within %d s and are cut", len(self._clients), IN_FLIGHT_S)
            for server in servers:
                server.stop(timeout=1)

    def _listen(self, listener: Any) -> StreamServer:
        listener.setblocking(True)
        tls = {"ssl_context": ssl_context(self.cfg)} if self.cfg.is_ssl else {}
        pool = Pool(self.worker_connections)
        server = StreamServer(listener, handle=partial(self.handle, listener), spawn=pool, **tls)
        if self.cfg.workers > 1:
            server.max_accept = 1  # one at a time: the rest is for the other workers
        server.start()
        return server

    def _tick(self, until: float = 0) -> None:
        """Waits a moment, or until `until`, showing the master that we live."""
        self.notify()
        gevent.sleep(_TICK_S)
        while time.monotonic() < until:
            self.notify()
            gevent.sleep(_TICK_S)

    def _close_quiet_connections(self) -> None:
        now = time.monotonic()
        for wait in self._waiting():
            if now - wait.since >= _QUIET_S and not _has_unread(wait.client):
                wait.end()

    def _waiting(self) -> list[Waiting]:
        return list(self._waits)


_WHY: Final = {
    LimitRequestLine: "its first line is too long",
    LimitRequestHeaders: "it has too many fields, or too long ones",
}


def _unreadable(why: str) -> bytes:
    """The whole answer. What follows on the connection would be taken for a request: it is closed."""
    from app.api import problems, request_log  # not in the master, which loads this module before it forks
    from app.domain.errors import refusal

    refused = refusal("MALFORMED_REQUEST", f"The head of the request cannot be read: {why}")
    body = json.dumps(problems.document(refused, "/", request_log.sane_id("")), separators=(",", ":"))
    head = (
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nCache-Control: no-store\r\n"
        f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


def _has_unread(client: Any) -> bool:
    """Has anything arrived that its greenlet has not seen yet? Asked without waiting, and without gevent's loop."""
    poll = get_original("select", "poll")()
    poll.register(client.fileno())
    return any(event & POLLIN for _, event in poll.poll(0))
