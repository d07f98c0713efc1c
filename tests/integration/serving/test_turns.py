"""Answers go out when the turn of the event loop ends in which they were made: together, whole, and in order."""

import socket
from collections.abc import Iterable, Iterator
from typing import Any, Final

import gevent
import pytest

from tests.support.odd_requests import get, post
from tests.support.two_workers import PEER, Workers, connection, received

BODY: Final = 8_000


class Numbered:
    """Answers its number to each request, at length, and notes what the `clients` have got when it is asked."""

    def __init__(self) -> None:
        self.count = 0
        self.clients: list[socket.socket] = []
        self.got: list[bytes] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.count += 1
        self.got += map(received, self.clients)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(BODY))])
        return [b"%*d" % (BODY, self.count)]


@pytest.fixture
def application() -> Numbered:
    return Numbered()


@pytest.fixture
def workers(application: Numbered) -> Iterator[Workers]:
    workers = Workers(application)
    yield workers
    workers.close()


def numbers(answers: bytes) -> list[int]:
    return [int(answer[-BODY:]) for answer in answers.split(b"HTTP/1.1 200 OK")[1:]]


def test_what_is_answered_in_one_turn_is_sent_at_its_end(workers: Workers, application: Numbered) -> None:
    with connection() as (first, one), connection() as (second, other):
        application.clients = [first, second]
        serving = [gevent.spawn(workers.ours.handle, workers.listener, served, PEER) for served in (one, other)]
        gevent.idle()
        first.sendall(get())
        second.sendall(get())
        for _ in range(5):
            gevent.idle()
        assert application.got == [b""] * 4, "one of them has been answered when the other asks, and has not got it yet"
        assert sorted(numbers(received(first)) + numbers(received(second))) == [1, 2]
        gevent.killall(serving)


@pytest.mark.parametrize("at_once", [True, False], ids=["without waiting", "one by one"])
def test_a_slow_reader_gets_all_in_order_and_holds_one_answer_at_most(
    workers: Workers, application: Numbered, at_once: bool
) -> None:
    asked, held = 40, 3  # of which the kernel's buffers hold so many at least
    with connection() as (client, served):
        served.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        serving = gevent.spawn(workers.ours.handle, workers.listener, served, PEER)
        for part in [get() * asked] if at_once else [get()] * asked:
            client.sendall(part)
            gevent.idle()
        for _ in range(10):
            gevent.idle()
        assert held <= application.count < asked, "it is not asked further than the client takes answers"
        answers = b""
        for _ in range(400):
            answers += received(client)
            gevent.idle()
        assert numbers(answers) == list(range(1, asked + 1))
        serving.kill()


def test_a_slow_reader_has_its_answer_before_the_rest_of_its_body_is_waited_for(
    workers: Workers, application: Numbered
) -> None:
    with connection() as (client, served):
        served.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least that the kernel admits
        serving = gevent.spawn(workers.ours.handle, workers.listener, served, PEER)
        client.sendall(post(b"Content-Length: 10\r\n", b"half"))
        answers = b""
        for _ in range(50):
            gevent.idle()
            answers += received(client)
        assert numbers(answers) == [1]
        serving.kill()


@pytest.mark.parametrize(
    "asked",
    [get(), get(fields=b"Connection: close\r\n"), get() + get()],
    ids=["kept alive", "the last", "without waiting"],
)
def test_what_an_application_gives_to_the_turns_end_is_called_before_its_answer_is_sent(
    workers: Workers, asked: bytes
) -> None:
    """And if it fails, the answers of that turn are sent all the same."""
    seen: list[bytes] = []

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        def last() -> None:
            seen.append(received(client))
            raise RuntimeError("not the fault of any answer")

        environ["serving.at_turns_end"](last)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
        return [b"done"]

    workers.ours.wsgi = application
    with connection() as (client, served):
        serving = gevent.spawn(workers.ours.handle, workers.listener, served, PEER)
        client.sendall(asked)
        for _ in range(5):
            gevent.idle()
        assert seen[0] == b""
        assert (b"".join(seen) + received(client)).count(b"done") == asked.count(b"GET")
        serving.kill()
