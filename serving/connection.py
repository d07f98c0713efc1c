"""One connection for as long as its requests are plain."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from io import BytesIO
from typing import Any, Final, NamedTuple

import gevent
from gevent.hub import get_hub
from greenlet import greenlet
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.unreader import SocketUnreader

from serving.plain import PLAIN, SO_FAR, PlainRequest, read
from serving.turn import Turn

_RECEIVE_BYTES: Final = 8_192
"""At once, as gunicorn does: many requests in a row are answered before anybody else's turn."""
Answering = Callable[[PlainRequest, "Connection"], bool]
"""Answers a request; False when that was the connection's last."""


class Rewound:
    """A connection whose first bytes have been read: whoever receives from it gets them before any others."""

    def __init__(self, client: Any, unread: bytes) -> None:
        self._client = client
        self._unread = unread

    def recv(self, size: int, *flags: int) -> bytes:
        if not self._unread:
            return bytes(self._client.recv(size, *flags))
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class Limits(NamedTuple):
    """Of a head: what is larger is not plain."""

    head_bytes: int
    head_fields: int


class Connection:
    """Waits without a timer of its own: whoever runs it looks now and then how long it has been waiting."""

    def __init__(
        self, client: Any, environ: dict[str, Any], schemes: Mapping[str, str], limits: Limits, turn: Turn
    ) -> None:
        """`environ`: what the application is told with every request; `schemes`: see `plain.read`."""
        self.client = client
        self.waiting = False
        """For the head of a request."""
        self.since = time.monotonic()
        """When it began to wait for the request that is awaited or under way, in seconds of the monotonic clock."""
        self.request: PlainRequest | None = None
        """The one that is under way, or was last."""
        self._environ = environ
        self._head = b""
        self._told: dict[str, Any] | None = None
        """What the application was told of `_head`, once that has come twice."""
        self._schemes = schemes
        self._limits = limits
        self._turn = turn
        self._unsent = b""
        """Of the last answer, while the next request is awaited."""
        self._receive: Callable[[int], bytes] = client._sock.recv  # the socket under gevent's, which never waits
        self._ended = False
        self._greenlet = gevent.getcurrent()
        hub = get_hub()
        self._loop = hub.loop
        self._to_hub = partial(greenlet.switch, hub)  # the hub's own `switch` first looks for hooks that nobody has
        self._readable = hub.loop.io(client.fileno(), 1)
        self._watched = False

    def serve(self, answer: Answering, time_limit: Callable[[], AbstractContextManager[Any, bool]]) -> bytes | None:
        """Has plain requests answered, one after the other, until `answer` says that the connection is over.

        `time_limit`: for a body that nobody wanted to read. Answers what has been read from the first request on that
        is not plain; None when the connection is over. Raises OSError and whatever `answer` does."""
        unread: bytes | None = b""
        try:
            while unread is not None:
                self.since = time.monotonic()
                while not (match := PLAIN.match(unread)):
                    if unread and not (len(unread) < self._limits.head_bytes and SO_FAR.fullmatch(unread)):
                        return unread
                    more = self._more()
                    if not more:
                        return None
                    unread += more
                end = match.end()
                if end > self._limits.head_bytes:
                    return unread
                request = self._understood(unread[:end], match[1])
                if request is None:
                    return unread
                unread = self._answered(request, unread[end:], answer, time_limit)
                request.environ = {}  # it refers to the request by what it holds: a circle that would cost a collection
            return None
        finally:
            self.waiting = False
            self._readable.stop()
            self._readable.close()
            self._send_rest()

    def send(self, answer: bytes) -> None:
        """The whole of it, when the turn ends."""
        self._unsent = answer
        self._turn.at_its_end(self._send_unsent)

    def _send_unsent(self) -> None:
        """In the hub. What a slow reader does not take, and what fails, is for the greenlet."""
        if not self._unsent:
            return
        try:
            sent = self.client._sock.send(self._unsent)  # the socket under gevent's, which never waits
        except OSError:
            sent = 0
        self._unsent = self._unsent[sent:]
        if self._unsent and self.waiting:
            self._wake()

    def _send_rest(self) -> None:
        """Waits for a slow reader, for as long as the socket's timeout says. Raises OSError, TimeoutError."""
        if not self._unsent:
            return
        gevent.sleep(0)  # behind the turn's end: what is to be told of a request is told before its answer
        unsent, self._unsent = self._unsent, b""
        if unsent:
            self.client.sendall(unsent)

    def _understood(self, head: bytes, line: bytes) -> PlainRequest | None:
        """As `plain.read`. Clients that ask the same over and over again, byte for byte, are read twice."""
        if head == self._head and self._told and self.request:
            self.request.environ = self._told.copy()
            return self.request
        environ = self._environ.copy()
        self.request = read(head, line, environ, self._schemes, self._limits.head_fields)
        self._head, self._told = head, environ.copy() if head == self._head else None
        return self.request

    def _answered(
        self,
        request: PlainRequest,
        unread: bytes,
        answer: Answering,
        time_limit: Callable[[], AbstractContextManager[Any, bool]],
    ) -> bytes | None:
        """What has been read of the next request; None when the connection is over."""
        self._send_rest()  # where the client asks again without having waited
        length = request.length
        if len(unread) >= length:
            request.environ["wsgi.input"] = request.body = BytesIO(unread[:length])
            return unread[length:] if answer(request, self) else None
        # gunicorn's own body, which is read when the application asks for it.
        source = SocketUnreader(self.client)
        source.unread(unread)
        request.environ["wsgi.input"] = request.body = body = Body(LengthReader(source, length))
        if not answer(request, self) or body.failed:  # failed: nobody knows where the next request begins
            return None
        self._send_rest()  # nobody looks after it while the rest of the body is waited for
        with time_limit():
            while body.read(1024):
                pass
            return bytes(source.take_buffered())
        return None

    def end(self) -> None:
        """It is closed, unless it is answering."""
        self._loop.run_callback(self._end)

    def _more(self) -> bytes:
        """Nothing when the peer is gone, or has made us wait too long, or we are to end."""
        while True:
            self.waiting = True
            if not self._watched:
                self._watched = True
                self._readable.start(self._wake)
            while self.waiting:
                self._to_hub()
            if self._ended:
                return b""
            if self._unsent:
                self._send_rest()
                continue
            try:
                return self._receive(_RECEIVE_BYTES)
            except BlockingIOError:  # woken for nothing
                continue

    def _wake(self) -> None:
        """In the hub. The watcher stays on from one request to the next, which spares the loop most of its work; when
        a request comes while another is being answered, it is off until somebody waits."""
        if self.waiting:
            self.waiting = False
            self._greenlet.switch()
        else:
            self._watched = False
            self._readable.stop()

    def _end(self) -> None:
        if self.waiting:
            self._ended = True
            self._wake()
