"""A TCP proxy on loopback before one real server: tests make outages on the line with it.

It passes bytes on until it is told otherwise, for all connections (`delay_s`, `cut`, `cut_after`) or for the one
request that a test means (`meet`). Two threads a connection: it serves tests, not traffic.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Literal, Self
from urllib.parse import urlsplit

_CHUNK: Final = 65_536
_LONGEST_MATCH: Final = 200

Kind = Literal["hold request", "hold answer", "cut answer", "swallow answer"]


class Fault:
    """What befalls the first request that contains `match`, or its answer; once.

    hold request: the server gets it when the test says `release`; hold answer: the client does. cut answer: the server
    has answered, and the connection ends instead; swallow answer: the client waits in vain."""

    def __init__(self, match: bytes, kind: Kind) -> None:
        self.match = match
        self.kind = kind
        self._happened = threading.Event()
        self._released = threading.Event()

    def wait(self, timeout_s: float = 20) -> None:
        """Until a request is held, or its answer is there and does not arrive. Raises TimeoutError."""
        if not self._happened.wait(timeout_s):
            raise TimeoutError(f"no request with {self.match!r} within {timeout_s:g} s")

    def release(self) -> None:
        """What is held goes on its way."""
        self._released.set()

    def befall(self, of_request: bool) -> bool:
        """Notes that it has happened and holds what is to be held. Does what came arrive?"""
        if of_request != (self.kind == "hold request"):
            return True
        self._happened.set()
        if self.kind in ("hold request", "hold answer"):
            self._released.wait()
            return True
        return False


class Proxy:
    """Listens on `port` while the block lasts. `server`: the port on 127.0.0.1 behind it."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.delay_s = 0.0
        """How long each piece waits, in both directions."""
        self.cut_after: int | None = None
        """Bytes of answers after which a connection ends, in the middle of an answer if need be; None: never."""
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()
        self._waiting: list[Fault] = []
        self._faults: list[Fault] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for fault in self._faults:
            fault.release()
        self.cut()

    def url(self, direct: str) -> str:
        """The URL of the server, with this port in place of its own."""
        return direct.replace(f":{urlsplit(direct).port}/", f":{self.port}/")

    def meet(self, match: bytes, kind: Kind) -> Fault:
        """Waits for the next request that contains `match`, 200 bytes at most, on any connection."""
        fault = Fault(match[:_LONGEST_MATCH], kind)
        with self._lock:
            self._waiting.append(fault)
            self._faults.append(fault)
        return fault

    def lead_to(self, server: int) -> None:
        """From now on, connections are made to this port: a failover. Those that there are stay where they lead."""
        self._server = server

    def cut(self) -> None:
        """Ends every connection there is."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.cut()

    def met_by(self, request: bytes) -> Fault | None:
        """The fault that was waiting for this request; it waits no longer."""
        with self._lock:
            fault = next((fault for fault in self._waiting if fault.match in request), None)
            if fault:
                self._waiting.remove(fault)
            return fault

    def forget(self, connection: "_Connection") -> None:
        with self._lock:
            self._connections.discard(connection)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            try:
                server = socket.create_connection(("127.0.0.1", self._server), timeout=5)
            except OSError:
                client.close()  # as if nobody listened
                continue
            server.settimeout(None)
            connection = _Connection(self, client, server)
            with self._lock:
                self._connections.add(connection)
            connection.start()


class _Connection:
    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._fault: Fault | None = None
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self) -> None:
        for pump in (self._requests, self._answers):
            threading.Thread(target=self._until_it_ends, args=(pump,), daemon=True).start()

    def cut(self) -> None:
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes the other thread; closing alone does not

    def _until_it_ends(self, pump: Callable[[], None]) -> None:
        with contextlib.suppress(OSError):
            pump()
        self.cut()
        self._proxy.forget(self)

    def _requests(self) -> None:
        tail = b""
        while data := self._client.recv(_CHUNK):
            if fault := self._proxy.met_by(tail + data):
                self._fault = fault
                fault.befall(of_request=True)
            tail = (tail + data)[-_LONGEST_MATCH:]
            time.sleep(self._proxy.delay_s)
            self._server.sendall(data)

    def _answers(self) -> None:
        passed = 0
        while data := self._server.recv(_CHUNK):
            if self._fault and not self._fault.befall(of_request=False):
                if self._fault.kind == "cut answer":
                    return
                continue
            time.sleep(self._proxy.delay_s)
            left = None if self._proxy.cut_after is None else max(0, self._proxy.cut_after - passed)
            self._client.sendall(data[:left])
            passed += len(data)
            if left is not None and len(data) >= left:
                return
