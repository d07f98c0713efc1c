"""gunicorn's response, written with one send where that can be. What it writes is the same, to the byte."""

import re
import time
from typing import Any, Final

from gunicorn import SERVER
from gunicorn.http.wsgi import Response
from gunicorn.util import http_date, is_hoppish

from serving.connection import Connection
from serving.plain import PlainRequest

# Fields a line each, by gunicorn's rule for values, with nothing to strip.
_FIELDS: Final = re.compile(r"(?:[\x21-\x39\x3b-\x7e]+: (?![ \t])[ \t\x21-\x7e\x80-\xff]*(?<![ \t])\r\n)+")
_LENGTH: Final = re.compile(r"[0-9]{1,12}")
_KEPT_SHAPES: Final = 256
_KEPT_STATUSES: Final = 64
_JOINED_BYTES: Final = 16_384
"""Of a block that is copied behind its head. A larger one is sent from where it is: slow readers would keep copies."""
_shapes: dict[tuple[str, ...], int] = {}
"""Names of an answer's fields, in order, that gunicorn has found good and hands on, with the place of Content-Length
among them. An application has a few dozen."""
_with_body: dict[str, int] = {}
"""Statuses that gunicorn has found good, and that admit a body, with their codes."""


class _Signature:
    """What is the same in each answer of a second. To format the date for each takes longer than the rest of it."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def now(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second, self._text = second, f"Server: {SERVER}\r\nDate: {http_date(second)}\r\n"
        return self._text


_signature: Final = _Signature()


class Answer(Response):  # type: ignore[misc]
    req: PlainRequest
    status: str | None
    status_code: int
    response_length: int | None
    must_close: bool
    headers_sent: bool
    headers: list[tuple[str, str]]
    _fields = ""
    """The lines of `headers`, where they have been made already."""

    def __init__(self, request: PlainRequest, connection: Connection, cfg: Any) -> None:
        super().__init__(request, connection.client, cfg)
        self._connection = connection

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """Raises what gunicorn's own does."""
        if exc_info or self.status is not None or status not in _with_body or self.req.method == "HEAD":
            super().start_response(status, headers, exc_info)
            if len(_with_body) < _KEPT_STATUSES and not self._response_omits_body("GET", self.status_code):
                _with_body[status] = self.status_code
        else:
            self.status, self.status_code = status, _with_body[status]
            self.process_headers(headers)
            self.chunked = self.response_length is None
        return self.write

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Raises what gunicorn's own does, which is given whatever it has not found good before."""
        shape = tuple([name for name, _ in headers])
        at = _shapes.get(shape)
        if at is not None and not self.headers:
            try:
                fields = "\r\n".join(map(": ".join, headers)) + "\r\n"
            except TypeError:  # not a text
                fields = ""
            length = headers[at][1]
            # As many lines as fields: no value has brought another one in.
            if _FIELDS.fullmatch(fields) and fields.count("\n") == len(headers) and _LENGTH.fullmatch(length):
                self.headers, self._fields, self.response_length = list(headers), fields, int(length)
                return
        self._fields = ""
        super().process_headers(headers)
        lengths = [name for name in shape if name.lower() == "content-length"]
        if len(_shapes) < _KEPT_SHAPES and len(lengths) == 1 and not any(map(is_hoppish, shape)):
            _shapes[shape] = shape.index(lengths[0])

    def should_close(self) -> bool:
        if self.response_length is None and not self.chunked:
            return bool(super().should_close())
        return self.must_close or self.req.closes

    def send_headers(self) -> None:
        if not self.headers_sent:
            self._send(self._head())

    def write(self, block: Any) -> None:
        """The first block goes out with the head, unless it is large: when the turn ends, if it is all of the answer.
        What comes after it is gunicorn's to write."""
        if type(block) is not bytes or self.headers_sent or self._omits_body or not 0 < len(block) <= _JOINED_BYTES:
            super().write(block)
            return
        if self.chunked:
            framed = b"%X\r\n%b\r\n" % (len(block), block)
        else:
            # Never more than was announced: the rest would be taken for the next answer.
            framed = block = block[: self.response_length]
        self.sent = len(block)
        if self.sent == self.response_length:
            self.headers_sent = True
            self._connection.send(self._head() + framed)
        else:
            self._send(self._head() + framed)

    def _head(self) -> bytes:
        connection = "upgrade" if self.upgrade else "close" if self.should_close() else "keep-alive"
        framing = "Transfer-Encoding: chunked\r\n" if self.chunked else ""
        fields = self._fields or "".join([f"{name}: {value}\r\n" for name, value in self.headers])
        head = f"HTTP/1.1 {self.status}\r\n{_signature.now()}Connection: {connection}\r\n{framing}{fields}\r\n"
        return head.encode("latin-1")

    def _send(self, data: bytes) -> None:
        """Waits for a slow reader, for as long as the socket's timeout says. Raises OSError, TimeoutError."""
        self.headers_sent = True
        self.sock.sendall(data)
