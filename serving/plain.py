"""A plain request: what its head looks like to the byte, and what the application is told of it.

A head is plain if our grammar and llhttp (strict, node's parser) both take it, and agree. Nothing is refused here: what
is not plain is for gunicorn's own parser, which refuses it or knows what to do. So a rule that is stricter than need be
costs time and never an answer; a rule that is laxer than gunicorn's is a hole. `PLAIN` names every byte it admits.
"""

import re
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final

from gunicorn.http.body import Body
from gunicorn.util import unquote_to_wsgi_str
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

# No quantifier is possessive, which Python's `re` has matched wrongly up to 3.11.4 (its gh-106052). None need be: what
# may follow a run of characters is never one of them, so going back over it finds nothing and costs no more than once.
_TARGET: Final = rb"/[!$%&'()*+,./:;=?@_~0-9A-Za-z-]*"  # origin-form; no fragment, nothing that is not ASCII
_LINE: Final = rb"((?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) " + _TARGET + rb") HTTP/1\.1\r\n"
# A token without the underscore, which CGI's names cannot tell from `-`; one space; visible ASCII with spaces inside.
_FIELD: Final = rb"[!#$%&'*+.^`|~0-9A-Za-z-]+: (?! )[\x20-\x7e]+(?<! )\r\n"
PLAIN: Final = re.compile(_LINE + rb"(?:" + _FIELD + rb")+\r\n")
# What may still become one. gunicorn refuses a broken line before the head is whole: so far, no line is broken.
SO_FAR: Final = re.compile(
    rb"[A-Z]{1,7}(?: [\x21-\x7e]*(?: [HTP/1.]*\r?)?)?|" + _LINE + rb"(?:[^\r\n]+\r\n)*[^\r\n]*\r?"
)
_LENGTH: Final = re.compile(r"0|[1-9][0-9]{0,11}")  # neither sign nor leading zero
_NOT_PLAIN: Final = frozenset((b"TRANSFER-ENCODING", b"EXPECT", b"UPGRADE", b"HTTP2-SETTINGS", b"PROXY-CONNECTION"))
_KEPT_NAMES: Final = 1024
"""Spellings of field names that are remembered: those of all clients in use, not all that somebody may think of."""


class _Keys(dict[bytes, str | None]):
    """The environ's key for each field's name; None where the request is not plain."""

    def __missing__(self, name: bytes) -> str | None:
        upper = name.upper()
        if upper in _NOT_PLAIN:
            key = None
        else:
            plain = upper.replace(b"-", b"_").decode("ascii")
            key = plain if plain in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{plain}"
        if len(self) < _KEPT_NAMES:
            self[name] = key
        return key


KEYS: Final = _Keys()


class PlainRequest:
    """What gunicorn's responses, access log and error handling want to know of a request. llhttp fills it."""

    __slots__ = ("body", "closes", "environ", "length", "method", "odd", "path", "query", "scheme", "uri")
    version = (1, 1)
    proxy_protocol_info = None
    trailers = ()
    body: Body | BytesIO
    method: str
    path: str
    query: str

    def __init__(self, environ: dict[str, Any]) -> None:
        """`environ`: what is the same for every request of the connection; it is completed here."""
        self.environ = environ
        self.odd = False
        self.uri = ""
        self.scheme = "http"
        self.length = 0
        self.closes = False

    def on_url(self, target: bytes) -> None:
        self.uri = str(target, "ascii")

    def on_header(self, name: bytes, value: bytes) -> None:
        key = KEYS[name]
        if (
            key is None or key in self.environ
        ):  # a field that comes twice is one of those that are understood in two ways
            self.odd = True
        else:
            self.environ[key] = str(value, "ascii")

    def should_close(self) -> bool:
        return self.closes

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Name in capitals and value of each field, for the access log."""
        names = (
            (key.removeprefix("HTTP_"), value)
            for key, value in self.environ.items()
            if key.startswith(("HTTP_", "CONTENT_"))
        )
        return [(name.replace("_", "-"), value) for name, value in names]


def read(
    head: bytes, line: bytes, environ: dict[str, Any], schemes: Mapping[str, str], max_fields: int
) -> PlainRequest | None:
    """The request with this head, of which `PLAIN` has matched `line`; without its body. None: it is not plain.

    `schemes`: the fields in which a proxy tells whether it was asked by TLS, and what they then say; empty where the
    peer is none of our proxies."""
    constant = len(environ)
    request = PlainRequest(environ)
    try:
        HttpRequestParser(request).feed_data(head)
    except (HttpParserError, HttpParserUpgrade):
        return None
    if request.odd or len(environ) - constant > max_fields or "HTTP_HOST" not in environ:
        return None
    request.method, _, target = line.decode("ascii").partition(" ")
    if target != request.uri:
        return None
    if "HTTP_CONNECTION" in environ:
        connection = environ["HTTP_CONNECTION"].lower()
        if connection not in ("keep-alive", "close"):
            return None
        request.closes = connection == "close"
    if "CONTENT_LENGTH" in environ:
        if not _LENGTH.fullmatch(environ["CONTENT_LENGTH"]):
            return None
        request.length = int(environ["CONTENT_LENGTH"])
    told = [value == environ[key] for key, value in schemes.items() if key in environ]
    if told:
        if told.count(told[0]) != len(told):
            return None
        request.scheme = "https" if told[0] else "http"
    request.path, _, request.query = target.partition("?")
    environ["REQUEST_METHOD"] = request.method
    environ["RAW_URI"] = target
    environ["QUERY_STRING"] = request.query
    environ["PATH_INFO"] = unquote_to_wsgi_str(request.path) if "%" in request.path else request.path
    environ["wsgi.url_scheme"] = request.scheme
    return request
