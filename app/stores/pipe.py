"""One connection to Redis that all greenlets share: what they ask in one turn of the event loop goes out in one write,
and the answers, which come in order, wake who asked.

A pool costs a greenlet a connection, two system calls and a wait of its own for each script; here many share them
(bench/client.py tells what a call costs). For gevent alone: threads have the pool of app/stores/lua.py.
"""

import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any, Final

import hiredis
from redis import exceptions as redis_errors

from app.stores.scripts import Script

_READ_BYTES: Final = 262_144
_LOOKS_PER_TIMEOUT: Final = 10
"""How often within its time a call is looked at: one that gets no answer is given up at most a tenth late."""
Words = tuple[str | int | bytes, ...]


class QueueFull(Exception):
    """So many calls wait that this one would only be late. It was not sent."""


_NONE_YET: Final = object()


class _Call:
    """`greenlet`: who waits, None once it does not. `asked_at`: on the monotonic clock, s."""

    __slots__ = ("answer", "asked_at", "greenlet")

    def __init__(self, greenlet: Any, asked_at: float) -> None:
        self.greenlet = greenlet
        self.asked_at = asked_at
        self.answer: Any = _NONE_YET


class Link:
    """One connection, from its handshake to its end. `connection` is redis-py's, connected, with a `run_id`; it is ours
    from now on.

    A call that gets no answer in `timeout_s` seconds keeps its place: its answer, should it still come, is thrown away
    and not taken for another's. A server that has answered nobody for twice that time is left. Whatever ends the link,
    those who wait get `ConnectionError`: what they asked may have been done."""

    def __init__(self, connection: Any, timeout_s: float, most: int) -> None:
        from gevent import getcurrent
        from gevent.hub import get_hub
        from gevent.monkey import get_original
        from greenlet import greenlet

        self.run_id: str = connection.run_id
        self.ended = False
        self._timeout_s = timeout_s
        self._most = most
        self._connection = connection
        self._hub, self._current = get_hub(), getcurrent
        self._to_hub = partial(greenlet.switch, self._hub)  # the hub's own first looks for hooks that nobody has
        # A second name for the same connection, as the operating system knows it: gevent's own would wait for it.
        self._socket = get_original("socket", "socket")(fileno=os.dup(connection._get_socket().fileno()))
        self._socket.setblocking(False)
        self._reader = hiredis.Reader(encoding="utf-8", errors="replace", replyError=redis_errors.ResponseError)
        self._calls: deque[_Call] = deque()
        self._out: list[bytes] = []
        self._unsent = b""
        self._heard_at = self._looked_at = 0.0
        self._retiring = False
        loop = self._hub.loop
        self._readable = loop.io(self._socket.fileno(), 1)
        self._writable = loop.io(self._socket.fileno(), 2)
        self._clock = loop.timer(timeout_s / _LOOKS_PER_TIMEOUT, timeout_s / _LOOKS_PER_TIMEOUT)
        self._readable.start(self._read)

    def call(self, words: Words) -> Any:
        """The answer; an error that Redis answers is raised.

        Raises `QueueFull`; `TimeoutError`, `ConnectionError` of redis-py when no answer came: it may have been done."""
        if self.ended:
            raise redis_errors.ConnectionError("closed")
        if len(self._calls) >= self._most:
            raise QueueFull
        packed = hiredis.pack_command(words)  # type: ignore[arg-type]
        if not self._out:
            self._hub.loop.run_callback(self._flush)
        self._out.append(packed)
        call = _Call(self._current(), monotonic())
        if not self._clock.active:
            self._looked_at = call.asked_at
            self._clock.start(self._look, update=True)
        self._calls.append(call)
        try:
            while call.answer is _NONE_YET:  # whatever else may wake a greenlet has no answer for it
                self._to_hub()
        finally:
            call.greenlet = None  # one that gives up does not wait for this any more
        if isinstance(call.answer, Exception):
            raise call.answer
        return call.answer

    def retire(self) -> None:
        """Lets those who wait have their answers, and ends. Nobody calls it any more."""
        self._retiring = True
        if not self._calls:
            self.end(redis_errors.ConnectionError("closed"))

    def end(self, error: Exception) -> None:
        """Closes the connection; whoever waits gets `error`."""
        if self.ended:
            return
        self.ended = True
        for watcher in (self._readable, self._writable, self._clock):
            watcher.stop()
            watcher.close()
        self._socket.close()
        self._connection.disconnect()
        calls, self._calls = self._calls, deque()
        for call in calls:
            self._wake(call, error)

    def _flush(self) -> None:
        if self.ended:
            return
        out, self._out = self._out, []
        waiting, self._unsent = bool(self._unsent), self._unsent + b"".join(out)
        if not waiting:
            self._write()

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.end(redis_errors.ConnectionError(str(error)))
            return
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._writable.stop()
        elif not self._writable.active:
            self._writable.start(self._write)

    def _read(self) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self.end(redis_errors.ConnectionError(str(error)))
            return
        if not data:
            self.end(redis_errors.ConnectionError("Redis has closed the connection"))
            return
        self._heard_at = monotonic()
        gets, calls = self._reader.gets, self._calls
        try:
            self._reader.feed(data)
            while (answer := gets()) is not False:
                self._wake(calls.popleft(), answer)
                if self.ended:
                    return
        except (hiredis.ProtocolError, IndexError) as error:  # whose answer is whose, is not known
            self.end(redis_errors.ConnectionError(f"not an answer of Redis: {type(error).__name__}"))
            return
        if self._retiring and not calls:
            self.end(redis_errors.ConnectionError("closed"))

    def _wake(self, call: "_Call", answer: Any) -> None:
        greenlet = call.greenlet
        if greenlet is None:
            return
        call.answer = answer
        try:
            greenlet.switch()
        except BaseException:  # of a greenlet without gevent's own last resort: those behind it still get their answers
            self._hub.handle_error(greenlet, *sys.exc_info())

    def _look(self) -> None:
        """At who has waited too long: the first in the queue have waited longest.

        Where this process itself was stopped, the loop tells of the time before it tells of answers long there, and
        what was asked may be unsent: then everybody's time begins anew."""
        if not self._calls:
            self._clock.stop()
            return
        now = monotonic()
        since_last_look, self._looked_at = now - self._looked_at, now
        if since_last_look > self._timeout_s / 2:
            for call in self._calls:
                call.asked_at = now
            return
        if now - max(self._heard_at, self._calls[0].asked_at) > 2 * self._timeout_s:
            self.end(redis_errors.ConnectionError("Redis has fallen silent"))
            return
        late = [call for call in self._calls if call.greenlet and now - call.asked_at >= self._timeout_s]
        for call in late:
            self._wake(call, redis_errors.TimeoutError("no answer in time"))


class Pipe:
    """The link of the day. `connect` makes a connection as `Link` takes it, or raises, within `timeout_s` seconds."""

    def __init__(self, connect: Callable[[], Any], timeout_s: float, most: int) -> None:
        self._connect = connect
        self._timeout_s = timeout_s
        self._most = most
        self._link: Link | None = None
        self._connecting: Any = None

    def run(self, script: Script, key: str, arguments: Callable[[str], Sequence[str | int | bytes]]) -> Any:
        """Runs `script` on `key`; `arguments` makes its ARGV from the server's run_id.

        Raises as `Link.call` does, and redis-py's own errors when there is no connection to be had."""
        link = self._link
        if link is None or link.ended:
            link = self._connected()
        try:
            return link.call(("EVALSHA", script.sha, 1, key, *arguments(link.run_id)))
        except redis_errors.ResponseError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        # It was not run: the server has not seen it, or was told to forget.
        return link.call(("EVAL", script.text, 1, key, *arguments(link.run_id)))

    def renew(self) -> None:
        """The next call gets a connection of its own making; those under way keep theirs."""
        link, self._link = self._link, None
        if link is not None and not link.ended:
            link.retire()

    def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.end(redis_errors.ConnectionError("closed"))

    def _connected(self) -> Link:
        """One connects, the others wait for it, and share its failure."""
        from gevent.event import AsyncResult

        if self._connecting is not None:
            under_way = self._connecting
            under_way.wait(self._timeout_s)
            if not under_way.ready():
                raise redis_errors.TimeoutError("no connection in time")
            return under_way.get()  # type: ignore[no-any-return]
        connecting = self._connecting = AsyncResult()
        try:
            link = Link(self._connect(), self._timeout_s, self._most)
        except BaseException as error:
            failure = error if isinstance(error, Exception) else redis_errors.ConnectionError("given up")
            connecting.set_exception(failure)
            raise
        finally:
            self._connecting = None
        self._link = link
        connecting.set(link)
        return link
