"""The shorter way to the four hot routes: reserve, confirm, release and get.

A plain request for one of them goes from the WSGI server straight to its view, and the view's answer straight back.
What Flask would do in between is not needed here: it finds the route, makes a request, a response and three contexts,
and looks for hooks and signals. Everything that decides is the same code on both ways: the view with all its decorators
(`contract`), the refusals (`problems`), the log and the metrics (`request_log`). What is not plain takes Flask's way.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from flask import Flask
from werkzeug.http import HTTP_STATUS_CODES

from app.api import bookings, problems, request_log
from app.api.asked import Environ, asked
from app.api.contract import Answer
from app.api.request_log import Wsgi
from app.domain.ids import is_booking_id

_HOT: Final = frozenset(("reserve", "confirm", "release", "release_by_post", "get_booking"))
"""Operations of `bookings`."""
_ID: Final = "<booking_id>"
_ID_LENGTH: Final = 36
_BEFORE_ID: Final = "/bookings/"
_HOST: Final = re.compile(r"([A-Za-z0-9-]{1,63}\.){0,9}[A-Za-z0-9-]{1,63}(:[0-9]{1,5})?")
_STATUS: Final = {status: f"{status} {phrase.upper()}" for status, phrase in HTTP_STATUS_CODES.items()}
"""As werkzeug writes them."""


class _Route(NamedTuple):
    rule: str
    method: str
    view: Callable[..., Answer]


class Hot:
    """`flask` with a way around it."""

    def __init__(self, app: Flask, flask: Wsgi) -> None:
        self._flask = flask
        self._start = app.extensions["holdfast.start"]
        routes = list(_routes(app))
        self._by_path = {(route.method, route.rule): route for route in routes if _ID not in route.rule}
        self._by_rule = {(route.method, route.rule): route for route in routes if _ID in route.rule}

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        route, booking_id = self._by_path.get((method, path)), ""
        if route is None:
            begin = path.find(_BEFORE_ID) + len(_BEFORE_ID)
            end = begin + _ID_LENGTH
            route, booking_id = self._by_rule.get((method, f"{path[:begin]}{_ID}{path[end:]}")), path[begin:end]
        if route is None or (booking_id and not is_booking_id(booking_id)) or not _is_plain(environ):
            return self._flask(environ, start_response)
        return self._answer(route, {"booking_id": booking_id} if booking_id else {}, start_response)

    def _answer(self, route: _Route, ids: dict[str, str], start_response: Callable[..., Any]) -> Iterable[bytes]:
        now = asked()
        try:
            self._start()
            answer = route.view(**ids)
            headers, text = answer.rendered()
        except Exception as error:  # as Flask does: a bug as well becomes an answer
            answer = problems.answer_to(error, now)
            headers, text = answer.rendered()
        request_log.ended(now, route.rule, route.method, answer.status, ids.get("booking_id", ""))
        headers.append(("X-Request-ID", now.request_id))
        start_response(_STATUS[answer.status], headers)
        return [text]


def register(app: Flask) -> None:
    """Comes after every route and hook of `app`. Raises `RuntimeError` for a hook that this way would pass by."""
    hooks: list[dict[Any, list[Any]]] = [
        app.before_request_funcs,
        app.after_request_funcs,
        app.teardown_request_funcs,
        app.url_value_preprocessors,
        {None: app.teardown_appcontext_funcs},
    ]
    unknown = {hook for by_blueprint in hooks for of_one in by_blueprint.values() for hook in of_one}
    unknown -= {app.extensions["holdfast.start"], request_log.end}
    if unknown:
        raise RuntimeError(f"The hot routes would not call {unknown}")
    app.wsgi_app = Hot(app, app.wsgi_app)  # type: ignore[method-assign]


def _routes(app: Flask) -> Iterable[_Route]:
    """Those of the hot operations, under each of their prefixes, as Flask has them."""
    for rule in app.url_map.iter_rules():
        blueprint, _, operation = rule.endpoint.rpartition(".")
        if operation in _HOT and blueprint.removesuffix("_at_root") == bookings.blueprint.name:
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                yield _Route(rule.rule, method, bookings.blueprint.views[operation])


def _is_plain(environ: Environ) -> bool:
    """Whether nothing that werkzeug looks at could make Flask answer it otherwise than by its view."""
    return (
        not environ.get("QUERY_STRING")
        and "HTTP_TRANSFER_ENCODING" not in environ
        and "HTTP_UPGRADE" not in environ
        and _is_plain_host(environ.get("HTTP_HOST", ""))
    )


@lru_cache(maxsize=128)
def _is_plain_host(host: str) -> bool:
    return _HOST.fullmatch(host) is not None
