"""One line and one measurement for each request, and an id that ties it to everything else that was logged for it."""

import re
import secrets
import time
from typing import Final

import structlog
from flask import Flask, Response, g, request

from app.api import metrics
from app.domain import ids

log: structlog.stdlib.BoundLogger = structlog.get_logger("holdfast.access")
_SANE_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")
_RESERVE: Final = "/bookings/reserve"


def register(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_end)


def request_id() -> str:
    """The caller's `X-Request-ID` if it is a sane one, else one of ours."""
    if "request_id" not in g:
        g.request_id = sane_id(request.headers.get("X-Request-ID", ""))
    return str(g.request_id)


def sane_id(given: str) -> str:
    """`given` where it may stand in logs and headers, else a fresh one."""
    return given if _SANE_ID.fullmatch(given) else secrets.token_hex(8)


def _begin() -> None:
    g.began_at = time.perf_counter()
    # A connection is kept, and with it its greenlet: what the request before has bound must go.
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id())


def _end(response: Response) -> Response:
    seconds = time.perf_counter() - g.began_at
    route = request.url_rule.rule if request.url_rule else "(none)"
    code = str(g.refused.kind.code) if "refused" in g else None
    metrics.observe(route, request.method, response.status_code, seconds)
    if route.endswith(_RESERVE) and request.method == "POST":
        metrics.observe_reserve(code or _kind_of_success(response))
    response.headers["X-Request-ID"] = request_id()
    known = {name: value for name, value in (("code", code), ("booking_id", _booking_id())) if value}
    report = log.warning if response.status_code >= 500 else log.info
    report(
        "request",
        method=request.method,
        route=route,
        status=response.status_code,
        ms=round(seconds * 1000, 2),
        **known,
    )
    return response


def _kind_of_success(response: Response) -> str:
    return "REPLAYED" if "Idempotency-Replayed" in response.headers else "RESERVED"


def _booking_id() -> str | None:
    """From the answer, or from the path where it has the form of one: anything else is the caller's text."""
    if "answered" in g and "booking_id" in g.answered.body:
        return str(g.answered.body["booking_id"])
    asked = (request.view_args or {}).get("booking_id", "")
    return asked if ids.is_booking_id(asked) else None
