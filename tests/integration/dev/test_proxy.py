"""dev.proxy on a server that sends back what it gets."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from dev.proxy import Proxy

got: list[bytes] = []


def _echo(listener: socket.socket) -> None:
    def serve(client: socket.socket) -> None:
        while data := client.recv(65_536):
            got.append(data)
            client.sendall(data)

    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=serve, args=(client,), daemon=True).start()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    got.clear()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_echo, args=(listener,), daemon=True).start()
        with Proxy(listener.getsockname()[1]) as proxy:
            yield proxy
        listener.shutdown(socket.SHUT_RDWR)


def _connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def _ask(client: socket.socket, request: bytes) -> bytes:
    client.sendall(request)
    return client.recv(65_536)


def test_what_nobody_disturbs_passes_and_takes_as_long_as_it_is_told(proxy: Proxy) -> None:
    with _connect(proxy) as client:
        assert _ask(client, b"one") == b"one"
        proxy.delay_s = 0.1
        began = time.monotonic()
        assert _ask(client, b"two") == b"two"
        assert time.monotonic() - began >= 0.2
    assert proxy.url("redis://127.0.0.1:6379/0") == f"redis://127.0.0.1:{proxy.port}/0"


def test_an_answer_is_cut_or_swallowed_after_the_server_has_done_its_work(proxy: Proxy) -> None:
    with _connect(proxy) as client, _connect(proxy) as other:
        fault = proxy.meet(b"COMMIT", "cut answer")
        assert _ask(other, b"BEGIN") == b"BEGIN"
        assert _ask(client, b"COMMIT") == b""
        fault.wait()
        assert _ask(other, b"COMMIT") == b"COMMIT"  # once
        proxy.meet(b"COMMIT", "swallow answer")
        other.settimeout(0.2)
        with pytest.raises(TimeoutError):
            _ask(other, b"COMMIT")
    assert got.count(b"COMMIT") == 3


def test_a_request_is_held_before_the_server_and_an_answer_after_it(proxy: Proxy) -> None:
    for kind, arrived in (("hold request", []), ("hold answer", [b"x"])):
        got.clear()
        with _connect(proxy) as client:
            fault = proxy.meet(b"x", kind)  # type: ignore[arg-type]
            client.sendall(b"x")
            fault.wait()
            assert got == arrived
            fault.release()
            assert client.recv(10) == b"x"
            assert _ask(client, b"x") == b"x"


def test_connections_are_cut_now_or_in_the_middle_of_an_answer(proxy: Proxy) -> None:
    with _connect(proxy) as client:
        assert _ask(client, b"one") == b"one"
        proxy.cut()
        assert client.recv(10) == b""
    proxy.cut_after = 5
    with _connect(proxy) as client:
        assert _ask(client, b"one") == b"one"
        assert _ask(client, b"two") == b"tw"
        assert client.recv(10) == b""


def test_a_server_that_is_away_is_a_connection_that_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with Proxy(port) as proxy, _connect(proxy) as client:
        assert client.recv(10) == b""
