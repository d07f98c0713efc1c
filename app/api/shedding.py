"""Bounded concurrency: past `MAX_IN_FLIGHT` requests a process answers 503 at once, before Flask has looked at them.

A queue would only make everybody late: whoever waits too long has given up, and is served all the same.
"""

import json
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

from app.api import metrics, problems
from app.api.present import API_PREFIX
from app.api.refusals_doc import MIMETYPE
from app.api.request_log import sane_id
from app.domain.errors import refusal

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
# What runs and watches the process must hear from it most of all when it is full.
NEVER_SHED: Final = frozenset(
    prefix + path for prefix in ("", API_PREFIX) for path in ("/livez", "/readyz", "/health", "/metrics")
)
_STATUS: Final = f"{HTTPStatus.SERVICE_UNAVAILABLE.value} {HTTPStatus.SERVICE_UNAVAILABLE.phrase}"


class Shedding:
    """`app` with a limit. Counting needs no lock: greenlets switch where they wait, and nothing waits here. Threads of
    another server may miscount by a few, and what is full for one of them is full for all."""

    def __init__(self, app: Wsgi, limit: int, retry_after_seconds: int) -> None:
        self._app = app
        self._limit = limit
        self._retry_after = str(retry_after_seconds)
        self._in_flight = 0
        self._refusal = refusal("SERVICE_UNAVAILABLE", "Too many requests are in flight: nothing was done")

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self._in_flight >= self._limit and environ["PATH_INFO"] not in NEVER_SHED:
            return self._shed(environ, start_response)
        self._in_flight += 1
        metrics.in_flight.inc()
        try:
            return self._app(environ, start_response)
        finally:
            self._in_flight -= 1
            metrics.in_flight.dec()

    def _shed(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Counted and not logged: a line for each would cost more than the answer."""
        metrics.shed.inc()
        request_id = sane_id(environ.get("HTTP_X_REQUEST_ID", ""))
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")  # WSGI hands bytes over as Latin-1
        body = json.dumps(problems.document(self._refusal, path, request_id), separators=(",", ":")).encode()
        headers = [
            ("Content-Type", MIMETYPE),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Retry-After", self._retry_after),
            ("X-Request-ID", request_id),
        ]
        start_response(_STATUS, headers)
        return [body]
