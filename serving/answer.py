"""gunicorn's response, written with one send where that can be. What it writes is the same, to the byte."""

import re
import time
from typing import Any, Final

from gunicorn.http.wsgi import Response
from gunicorn.util import http_date, is_hoppish

# gunicorn's rule, with nothing to strip. What does not match is given to gunicorn, which refuses or mends it.
_VALUE: Final = re.compile(r"(?![ \t])[ \t\x21-\x7e\x80-\xff]*+(?<![ \t])")
_LENGTH: Final = re.compile(r"[0-9]{1,12}")
_KEPT_NAMES: Final = 256
_passed_on: set[str] = set()
"""Names of fields that gunicorn has found good and hands on. An application has a few dozen; the set is bounded."""


class _Date:
    """Formatting it for each answer would take longer than all the rest of its head."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def now(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second, self._text = second, http_date(second)
        return self._text


_date: Final = _Date()


class Answer(Response):  # type: ignore[misc]
    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Raises what gunicorn's own does."""
        for name, value in headers:
            if name in _passed_on and type(value) is str and _VALUE.fullmatch(value):
                self.headers.append((name, value))
            elif name == "Content-Length" and type(value) is str and _LENGTH.fullmatch(value):
                self.headers.append((name, value))
                self.response_length = int(value)
            else:
                super().process_headers([(name, value)])
                if len(_passed_on) < _KEPT_NAMES and not is_hoppish(name) and name.lower() != "content-length":
                    _passed_on.add(name)

    def send_headers(self) -> None:
        if not self.headers_sent:
            self._send(self._head())

    def write(self, block: Any) -> None:
        """The first block goes out with the head; what comes after it is gunicorn's to write."""
        if self.headers_sent or self._omits_body or not block or type(block) is not bytes:
            super().write(block)
            return
        if self.chunked:
            framed = b"%X\r\n%b\r\n" % (len(block), block)
        else:
            # Never more than was announced: the rest would be taken for the next answer.
            framed = block = block[: self.response_length]
        self.sent = len(block)
        self._send(self._head() + framed)

    def _head(self) -> bytes:
        connection = "upgrade" if self.upgrade else "close" if self.should_close() else "keep-alive"
        framing = "Transfer-Encoding: chunked\r\n" if self.chunked else ""
        fields = "".join([f"{name}: {value}\r\n" for name, value in self.headers])
        return (
            f"HTTP/1.1 {self.status}\r\nServer: {self.version}\r\nDate: {_date.now()}\r\n"
            f"Connection: {connection}\r\n{framing}{fields}\r\n"
        ).encode("latin-1")

    def _send(self, data: bytes) -> None:
        """Waits for a slow reader, for as long as the socket's timeout says. Raises OSError, TimeoutError."""
        self.headers_sent = True
        sent = self.sock.send(data)
        if sent < len(data):
            self.sock.sendall(memoryview(data)[sent:])
