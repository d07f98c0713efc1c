"""One line and one measurement for each request, and an id that ties it to everything else that was logged for it."""

import logging
import re
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from flask import Flask, Response, request

from app.api import metrics
from app.api.asked import CURRENT, Asked, Environ, asked
from app.domain import ids
from app.domain.randomness import eight_bytes
from app.observability import Events

_SANE_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")
_RESERVE: Final = "/bookings/reserve"
Wsgi = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
_AT_TURNS_END: Final = "serving.at_turns_end"
"""Where the server offers it: what it is given it calls before it sends the answers of this turn of its loop. So who
has an answer finds it counted and logged, and yet all of a turn are told in a row."""
log: Final = Events("holdfast.access")


class _Ended(NamedTuple):
    now: Asked
    route: str
    method: str
    status: int
    booking_id: str
    seconds: float


_untold: Final[list[_Ended]] = []
"""Of greenlets of one thread: only their server has turns."""


class Asking:
    """`app` within an `Asked`, whatever becomes of the request and by whichever way."""

    def __init__(self, app: Flask, wsgi: Wsgi) -> None:
        self._app = app
        self._wsgi = wsgi

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        # The caller's `X-Request-ID` if it is a sane one, else one of ours.
        request_id = sane_id(environ.get("HTTP_X_REQUEST_ID", ""))
        before = CURRENT.set(Asked(self._app, environ, request_id))
        try:
            return self._wsgi(environ, start_response)
        finally:
            CURRENT.reset(before)


def register(app: Flask) -> None:
    app.after_request(end)


def wrap(app: Flask) -> None:
    """Comes last of all that wraps `app.wsgi_app`, but for what answers without a request of ours."""
    app.wsgi_app = Asking(app, app.wsgi_app)  # type: ignore[method-assign]


def sane_id(given: str) -> str:
    """`given` where it may stand in logs and headers, else a fresh one."""
    return given if given and _SANE_ID.fullmatch(given) else eight_bytes().hex()


def context() -> dict[str, str]:
    """What each event says that is logged while a request is answered, whoever logs it."""
    now = CURRENT.get(None)
    return {"request_id": now.request_id} if now else {}


def end(response: Response) -> Response:
    now = asked()
    route = request.url_rule.rule if request.url_rule else "(none)"
    ended(now, route, request.method, response.status_code, (request.view_args or {}).get("booking_id", ""))
    response.headers["X-Request-ID"] = now.request_id
    return response


def ended(now: Asked, route: str, method: str, status: int, booking_id: str) -> None:
    """Has the request measured and logged. `booking_id` is that of the path, as it came."""
    done = _Ended(now, route, method, status, booking_id, time.perf_counter() - now.began_at)
    at_turns_end = now.environ.get(_AT_TURNS_END)
    if at_turns_end is None:
        _measure(done)
        _log(done)
        return
    if not _untold:
        at_turns_end(_tell_all)
    _untold.append(done)


def _tell_all() -> None:
    told = _untold.copy()
    _untold.clear()
    for done in told:
        _measure(done)
    for done in told:
        _log(done)


def _measure(done: _Ended) -> None:
    outcome = ""
    if done.method == "POST" and done.route.endswith(_RESERVE):
        outcome = _code(done) or _kind_of_success(done.now)
    metrics.observe(done.route, done.method, done.status, done.seconds, outcome)


def _log(done: _Ended) -> None:
    known = {
        "request_id": done.now.request_id,
        "method": done.method,
        "route": done.route,
        "status": done.status,
        "ms": round(done.seconds * 1000, 2),
    }
    if code := _code(done):
        known["code"] = code
    if of := _booking_id(done.now, done.booking_id):
        known["booking_id"] = of
    log.tell(logging.WARNING if done.status >= 500 else logging.INFO, "request", known)


def _code(done: _Ended) -> str:
    return done.now.refused.code if done.now.refused else ""


def _kind_of_success(now: Asked) -> str:
    return "REPLAYED" if now.answered and "Idempotency-Replayed" in now.answered.headers else "RESERVED"


def _booking_id(now: Asked, in_path: str) -> str | None:
    """From the answer, or from the path where it has the form of one: anything else is the caller's text."""
    if now.answered and "booking_id" in now.answered.body:
        return str(now.answered.body["booking_id"])
    return in_path if ids.is_booking_id(in_path) else None
