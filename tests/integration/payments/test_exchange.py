"""A call of a provider is over in time, whatever the provider does with the line."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import pytest

from app.stores.payments.exchange import Exchange, NoAnswer

TIMEOUT_S, IN_TIME_S = 0.5, 5.0
HEAD = b"HTTP/1.1 200 OK\r\nX-Name: Value\r\nContent-Length: 1000000\r\n\r\n"


@contextmanager
def _line(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does that with its first connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                serve(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/payments"
        thread.join(timeout=10)


def _trickle(text: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        try:
            for n in range(100):
                connection.send(text[n : n + 1] or b"x")
                time.sleep(0.1)
        except OSError:
            return  # the other side has hung up, as it should

    return serve


@pytest.mark.parametrize(
    "serve", [lambda connection: time.sleep(2), _trickle(HEAD), _trickle(b"")], ids=["silent", "head", "no HTTP"]
)
def test_silence_and_a_trickle_are_given_up_in_time(serve: Callable[[socket.socket], None]) -> None:
    exchange = Exchange(1_000, lambda seconds: nullcontext())
    with _line(serve) as url:
        since = time.monotonic()
        with pytest.raises(NoAnswer):
            exchange("GET", url, {}, None, TIMEOUT_S)
        assert time.monotonic() - since < IN_TIME_S


def test_no_more_of_an_answer_is_read_than_it_may_have() -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(HEAD + b"x" * 2_000)

    with _line(serve) as url:
        answer = Exchange(1_000, lambda seconds: nullcontext())("PUT", url, {}, "{}", TIMEOUT_S)
    assert (answer.status, answer.headers["x-name"], len(answer.body)) == (200, "Value", 1_000)
