"""Joins settings, services and HTTP into the application. Opens no socket: pools open after the fork, at `start`."""

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any, Protocol

from flask import Flask

from app import cli
from app.api import hot, leaving, metrics, openapi, problems, rate_limit, request_log
from app.api.identity import identity_of
from app.api.shedding import Shedding
from app.observability import configure_logging
from app.settings import Settings
from app.wiring import build, time_limit


class Startable(Protocol):
    @property
    def limits(self) -> rate_limit.Limits | None: ...
    def start(self) -> None: ...


def create_app(settings: Settings | None = None, wire: Callable[[Settings], Startable] | None = None) -> Flask:
    """The WSGI application. `wire` joins the services; tests of HTTP alone give their own. Raises `BadSetting`."""
    settings = settings or Settings.from_environment()
    configure_logging(settings.log_level, settings.log_format, settings.secrets(), request_log.context)
    app = Flask("app", static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=settings.max_body_bytes, RETRY_AFTER_SECONDS=settings.retry_after_seconds)
    # A path written differently is another path: no redirect made of what the caller sent.
    app.url_map.merge_slashes = False
    app.extensions["holdfast.settings"] = settings
    app.extensions["holdfast.body_time"] = partial(time_limit(), settings.body_timeout_seconds)
    app.extensions["holdfast.identity"] = identity_of(settings)
    app.extensions["holdfast"] = wiring = (wire or _wired)(settings)
    app.extensions["holdfast.start"] = start = _Once(wiring.start)
    request_log.register(app)
    app.before_request(start)
    problems.register(app)
    leaving.register(app)
    app.config["RATE_LIMITED"] = wiring.limits is not None
    if wiring.limits is not None:
        rate_limit.register(app, wiring.limits)
    openapi.register(app)
    cli.register(app)
    if settings.hot_routes == "on" and wiring.limits is None:
        hot.register(app)
    request_log.wrap(app)
    app.wsgi_app = Shedding(app.wsgi_app, settings.max_in_flight, settings.retry_after_seconds)  # type: ignore[method-assign]
    return app


def _wired(settings: Settings) -> Startable:
    return build(settings, (metrics.observe_breaker, metrics.observe_rebuild, metrics.observe_script_failed))


class _Once:
    """Runs `what` at the first call: of gunicorn after the fork, of any other server at the first request."""

    def __init__(self, what: Callable[[], Any]) -> None:
        self._what = what
        self._lock = Lock()
        self._done = False

    def __call__(self) -> None:
        if self._done:
            return
        with self._lock:
            if not self._done:
                self._what()
                self._done = True
