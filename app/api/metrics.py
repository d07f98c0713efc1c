"""Prometheus: what was asked, how it ended, how long it took; of all processes when PROMETHEUS_MULTIPROC_DIR is set."""

import os
from functools import cache
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector

if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    _Locked: Final = values.MultiProcessValue()  # type: ignore[no-untyped-call]

    class _Counted(_Locked):  # type: ignore[misc, valid-type]
        """Counts without prometheus_client's lock, and without its question, each time, whether the process has forked.
        Greenlets switch where they wait, and nothing waits here; after a fork it is asked once."""

        def inc(self, amount: float) -> None:
            self._value += amount
            self._file.write_value(self._key, self._value, 0.0)

    values.ValueClass = _Counted

# From well below a reserve to the longest wait that our timeouts admit.
_BUCKETS_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"))
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_requests = Counter("holdfast_requests_total", "Requests answered", ["route", "method", "status"])
_seconds = Histogram("holdfast_request_seconds", "Time to answer", ["route", "method"], buckets=_BUCKETS_SECONDS)
_reserves = Counter("holdfast_reserves_total", "Reserves by outcome: RESERVED, REPLAYED or a refusal's code", ["code"])
# `livesum`: of the processes that live, added up. One that was killed in the middle of requests has none in flight.
in_flight: Final = Gauge("holdfast_requests_in_flight", "Requests being answered now", multiprocess_mode="livesum")
shed: Final = Counter("holdfast_requests_shed_total", "Requests past MAX_IN_FLIGHT, answered 503 at once")
# Of the processes that live, how many find it silent: a worker that was killed is no longer among them.
_breaker_open = Gauge(
    "holdfast_breaker_open",
    "Processes that answer 503 because this server is silent",
    ["server"],
    multiprocess_mode="livesum",
)
_breaker_changes = Counter("holdfast_breaker_changes_total", "Breakers opened and closed", ["server", "to"])

# `mostrecent`: of all processes the one that was at it last.
_rebuild_rows = Gauge(
    "holdfast_rebuild_rows",
    "Of a shard's rebuild, under way or the last: entries recorded, rows of the image, rows installed",
    ["shard", "step"],
    multiprocess_mode="mostrecent",
)
_scripts_failed = Counter("holdfast_scripts_failed_total", "Scripts that stopped in the middle of it", ["script"])

os.register_at_fork(after_in_child=shed._value.get)  # one that finds its process forked has all made anew


def observe(route: str, method: str, status: int, seconds: float, code: str = "") -> None:
    """One request; `code` is how a reserve ended. `route` is a template and a method is a known one: labels must not
    grow without bound."""
    answered, took, reserved = _series(route, method if method in _METHODS else "other", status, code)
    answered.inc()
    took.observe(seconds)
    if reserved:
        reserved.inc()


@cache  # prometheus_client looks labels up under a lock. There are as few of these as of its series.
def _series(route: str, method: str, status: int, code: str) -> tuple[Counter, Histogram, Counter | None]:
    reserved = _reserves.labels(code) if code else None
    return _requests.labels(route, method, str(status)), _seconds.labels(route, method), reserved


def observe_breaker(server: str, is_open: bool) -> None:
    _breaker_open.labels(server).set(is_open)
    _breaker_changes.labels(server, "open" if is_open else "closed").inc()


def observe_rebuild(shard: int, step: str, count: int) -> None:
    _rebuild_rows.labels(str(shard), step).set(count)


def observe_script_failed(script: str) -> None:
    _scripts_failed.labels(script).inc()


def exposition() -> bytes:
    """The text that Prometheus scrapes."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
