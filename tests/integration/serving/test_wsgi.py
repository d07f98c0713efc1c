"""Our worker speaks WSGI by PEP 3333, in the judgement of the standard library's validator."""

from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest

from tests.support.odd_requests import get, post
from tests.support.two_workers import Workers


@validator
def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Uses all of the interface that an application may."""
    source = environ["wsgi.input"]
    text = source.readline(100) + source.read(3) + b"".join(source.readlines(10)) + b"".join(source)
    environ["wsgi.errors"].write("written by the application\n")
    environ["wsgi.errors"].writelines(["and", "more\n"])
    environ["wsgi.errors"].flush()
    if environ["QUERY_STRING"] == "changes-its-mind":
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            raise ValueError("after it had said 200")
        except ValueError as error:
            start_response("500 Oh", [("Content-Type", "text/plain")], (type(error), error, error.__traceback__))
        return [b"500"]
    if environ["QUERY_STRING"] == "writes":
        write = start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
        write(b"abc")
        return [b"def"]
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
    return [text] if text else []


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    workers = Workers(application)
    yield workers
    workers.close()


@pytest.mark.parametrize(
    ("parts", "answer"),
    [
        ([get()], b"HTTP/1.1 200 OK"),
        ([get(b"/a%20b?x=y")], b"HTTP/1.1 200 OK"),
        ([get(b"/?writes")], b"abcdef"),
        ([get(b"/?changes-its-mind")], b"HTTP/1.1 500 Oh"),
        ([post(b"Content-Length: 12\r\n", b"one\ntwo\nthre")], b"one\ntwo\nthre"),
        ([post(b"Content-Length: 12\r\n", b"one"), b"\ntwo\nt", b"hre"], b"one\ntwo\nthre"),
        ([get(b"/").replace(b"GET", b"DELETE")], b"HTTP/1.1 200 OK"),
    ],
    ids=str,
)
def test_requests_and_answers_are_valid(workers: Workers, parts: list[bytes], answer: bytes) -> None:
    before = workers.ours.answered
    outcome = workers.compare("validated", parts)
    assert answer in outcome.answers
    assert workers.ours.answered == before + 1
    assert not outcome.closed
