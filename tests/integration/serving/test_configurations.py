"""What gunicorn can be told is true of our worker as well, or the stock worker serves in its place."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.odd_requests import PLAIN, by_hand, get, post
from tests.support.two_workers import Workers


@contextmanager
def workers_with(**settings: Any) -> Iterator[Workers]:
    workers = Workers(**settings)
    try:
        yield workers
    finally:
        workers.close()


@pytest.mark.parametrize(
    "settings",
    [
        {"limit_request_line": 60, "limit_request_fields": 3, "limit_request_field_size": 40},
        {"limit_request_line": 0, "limit_request_fields": 2, "limit_request_field_size": 0},
        {"forwarded_allow_ips": "10.0.0.1"},
        {"forwarded_allow_ips": "*", "secure_scheme_headers": {"X-USER-ID": "ann"}},
        {"header_map": "refuse"},
        {"header_map": "dangerous", "forwarder_headers": "SCRIPT_NAME,X_USER_ID"},
        {"permit_obsolete_folding": True, "strip_header_spaces": True, "casefold_http_method": True},
    ],
    ids=str,
)
def test_limits_trust_and_laxity_are_those_of_gunicorn(settings: dict[str, Any]) -> None:
    with workers_with(**settings) as workers:
        for name, data in by_hand().items():
            workers.compare(f"{name}, with {settings}", [data])
        assert workers.ours.answered > 50


def _before(worker: Any, request: Any) -> None:
    """A hook of somebody's."""


@pytest.mark.parametrize(
    "settings",
    [{"keepalive": 0}, {"pre_request": _before}, {"proxy_protocol": "v1"}],
    ids=["no keepalive", "a hook", "the PROXY protocol"],
)
def test_a_configuration_that_we_do_not_know_is_served_by_the_stock_worker(settings: dict[str, Any]) -> None:
    with workers_with(**settings) as workers:
        for data in (
            PLAIN,
            PLAIN * 2,
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + PLAIN,
            post(b"Content-Length: 1\r\n", b"x"),
        ):
            workers.compare(str(settings), [data])
        assert workers.ours.answered == 0


def test_a_worker_that_has_had_its_requests_says_so_to_its_clients_and_ends() -> None:
    with workers_with(max_requests=6) as workers:
        outcome = workers.compare("six requests and the last", [PLAIN * 5, PLAIN * 3])
        assert outcome.closed
        assert outcome.answers.count(b"Connection: keep-alive") == 5
        assert outcome.answers.count(b"Connection: close") == 1
        assert (workers.stock.alive, workers.ours.alive) == (False, False)
        assert workers.ours.answered == 6


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(re.sub(r"0\.\d{6}|\[[^]]*\]", "(time)", record.getMessage()))


def test_the_access_log_tells_the_same() -> None:
    told = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(m)s %(U)s %(q)s %(H)s %(b)s %(B)s "%(f)s" "%(a)s" %(L)s'
    told += " %({x-user-id}i)s %({content-length}i)s %({content-type}i)s %({content-type}o)s %({http_host}e)s"
    handler = Lines()
    log = logging.getLogger("gunicorn.access")
    with workers_with(accesslog="/dev/null", access_log_format=told) as workers:
        log.addHandler(handler)
        try:
            for data in (
                get(b"/a%20b?c=d", b"X-User-ID: ann\r\nReferer: http://other/\r\nUser-Agent: chance\r\n"),
                post(b"Content-Type: a/b\r\nContent-Length: 5\r\n", b"hello"),
                get(b"/parts"),
                get(b"/empty"),
                get(b"/too-much"),
                get(b"/raises-late"),
            ):
                workers.compare("logged", [data])
        finally:
            log.removeHandler(handler)
        assert workers.ours.answered == 6
    assert len(handler.lines) == 12
    assert handler.lines[::2] == handler.lines[1::2]
    assert '"GET /a%20b?c=d HTTP/1.1" 200 GET /a b c=d HTTP/1.1 6 6 "http://other/" "chance"' in handler.lines[0]
