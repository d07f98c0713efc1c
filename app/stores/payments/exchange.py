"""One HTTP exchange with a provider, bounded as a whole. The standard library's client: where gevent has patched it, it
waits for a provider and holds up nobody."""

import http.client
import logging
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import cache
from threading import Timer
from typing import Any
from urllib.parse import urlsplit

log = logging.getLogger(__name__)
TimeLimit = Callable[[float], AbstractContextManager[Any]]


class NoAnswer(Exception):
    """None that could be read, within its time; the provider may have done what it was asked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """`most_bytes` of an answer are read. `time_limit` also ends what no socket's timeout does (a name that is not
    resolved)."""

    most_bytes: int
    time_limit: TimeLimit

    def __call__(self, method: str, url: str, headers: Mapping[str, str], body: str | None, timeout_s: float) -> Answer:
        """Raises `NoAnswer`, after `timeout_s` at the latest, however slowly an answer trickles in."""
        until = time.monotonic() + timeout_s
        try:
            with self.time_limit(timeout_s), closing(_connection(url, timeout_s)) as connection:
                connection.connect()
                # A socket's own timeout begins again with every byte.
                cut = Timer(max(until - time.monotonic(), 0.0), _cut, [connection.sock])
                cut.start()
                try:
                    where = urlsplit(url)
                    connection.request(method, where.path + (f"?{where.query}" if where.query else ""), body, headers)
                    answer = connection.getresponse()
                    names = {name.lower(): value for name, value in answer.getheaders()}
                    return Answer(answer.status, names, answer.read(self.most_bytes))
                finally:
                    cut.cancel()
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(type(error).__name__) from error


def _connection(url: str, timeout_s: float) -> http.client.HTTPConnection:
    where = urlsplit(url)
    if where.scheme == "https":
        return http.client.HTTPSConnection(where.hostname or "", where.port, timeout=timeout_s, context=_tls())
    return http.client.HTTPConnection(where.hostname or "", where.port, timeout=timeout_s)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        log.debug("the provider had hung up already: %s", error)
