"""What a hot route costs between server and store, by Flask's way and by the shorter one, and what is left of it.

One process without a server and without a store: WSGI requests in, and services that answer at once. It has what a
process of production has: a line of log in JSON for each request, counters in files that its peers share (which is why
the measuring is done in a child), identity by a token. Both ways are measured by turns.
"""

import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, Final

from bench.measure import Plan
from dev.process import ROOT

SECRET: Final = "0123456789abcdef0123456789abcdef"
_BOOKING_ID: Final = "0198f3a2-7c41-8007-9d2e-5b1f0a6c3e84"
_ORDER: Final = b'{"event_id":"demo","zone_id":"A","quantity":2}'
_REQUESTS: Final[Mapping[str, tuple[str, str, bytes, Mapping[str, str]]]] = {
    "reserve": ("POST", "/api/v1/bookings/reserve", _ORDER, {"HTTP_IDEMPOTENCY_KEY": "order-4711-1"}),
    "reserve, sold out": ("POST", "/bookings/reserve", _ORDER.replace(b"demo", b"full"), {}),
    "confirm": ("POST", f"/api/v1/bookings/{_BOOKING_ID}/confirm", b'{"payment_id":"pay_8231"}', {}),
    "release": ("DELETE", f"/api/v1/bookings/{_BOOKING_ID}", b"", {}),
    "get": ("GET", f"/api/v1/bookings/{_BOOKING_ID}", b"", {}),
}
_PER_TURN: Final = 300


@dataclass(frozen=True)
class Cost:
    """µs of CPU a request, medians."""

    verb: str
    flask_us: float
    hot_us: float


@dataclass(frozen=True)
class Layer:
    """µs of CPU of one part of the shorter way's reserve, measured alone: in the midst of others it costs more."""

    name: str
    cost_us: float


def run(plan: Plan, say: Callable[[str], None]) -> tuple[list[Cost], list[Layer]]:
    """In a child of this process."""
    with tempfile.TemporaryDirectory() as measurements:
        told = subprocess.run(
            [sys.executable, "-m", "bench.views", str(plan.rounds)],
            cwd=ROOT,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": measurements},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the log
            check=True,
        )
    figures = json.loads(told.stdout)
    costs, layers = [Cost(**cost) for cost in figures["costs"]], [Layer(**layer) for layer in figures["layers"]]
    for cost in costs:
        say(f"    {cost.verb}: {cost.flask_us:.1f} µs by Flask, {cost.hot_us:.1f} past it")
    return costs, layers


# --- in the child ---


def _services() -> Any:
    from app.domain.errors import refusal
    from app.domain.model import Booking, Held

    now = time.time_ns() // 1_000_000
    booking = Booking(
        booking_id=_BOOKING_ID,
        event_id="demo",
        zone_id="A",
        user_id="ann",
        quantity=2,
        unit_price_minor=15_000,
        currency="EUR",
        status="reserved",
        reserved_at_ms=now,
        deadline_ms=now + 600_000,
    )
    confirmed = replace(booking, status="confirmed", confirmed_at_ms=now, confirmation_code="K7PW2M9Q")
    held = Held(booking, replayed=False, expires_in_ms=599_999)

    def reserve(user_id: str, order: Any) -> Held:
        if order.event_id == "full":
            raise refusal("INSUFFICIENT_SEATS", available=0)
        return held

    return SimpleNamespace(
        reserve=reserve,
        confirm=lambda *_: confirmed,
        release=lambda *_: booking,
        get=lambda *_: booking,
        start=lambda: None,
        limits=None,
    )


def _application(hot_routes: str) -> Any:
    from app.factory import create_app
    from app.settings import Settings

    environment = {"DATABASE_URL": "postgresql://127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1"}
    settings = Settings.from_environment({**environment, "JWT_SECRET": SECRET, "HOT_ROUTES": hot_routes})
    return create_app(settings, lambda _: _services())


def _environ(verb: str, token: str) -> dict[str, Any]:
    method, path, body, more = _REQUESTS[verb]
    of_body = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body))} if body else {}
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_USER_AGENT": "bench",
        "HTTP_ACCEPT": "*/*",
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        **of_body,
        **more,
    }


def _turn(app: Any, verb: str, token: str) -> float:
    requests = [_environ(verb, token) for _ in range(_PER_TURN)]
    began = time.process_time()
    for environ in requests:
        b"".join(app(environ, lambda status, headers, _=None: None))
    return (time.process_time() - began) / _PER_TURN * 1e6


def _ways(rounds: int, token: str) -> list[Cost]:
    flask, hot = _application("off"), _application("on")
    costs = []
    for verb in _REQUESTS:
        for app in (flask, hot):
            _turn(app, verb, token)
        turns = [(_turn(flask, verb, token), _turn(hot, verb, token)) for _ in range(4 * rounds)]
        costs.append(Cost(verb, *(statistics.median(turn[way] for turn in turns) for way in (0, 1))))
    return costs


def _layers(rounds: int, token: str) -> list[Layer]:
    """The parts of one reserve, each in a loop of its own."""
    from app.api import loading, metrics, present, request_log, schemas, strict_json
    from app.api.asked import CURRENT, Asked

    app = _application("on")
    held = app.extensions["holdfast"].reserve("ann", SimpleNamespace(event_id="demo"))
    answer = present.reserved(held)
    environ, identity = _environ("reserve", token), app.extensions["holdfast.identity"]
    read, load = loading.reader(schemas.Reserve()), loading.loader(schemas.Reserve())
    asked = Asked(app, environ, "5f2b9c1e7a3d4088")
    asked.answered = answer
    CURRENT.set(asked)

    def body() -> bytes:
        environ["wsgi.input"] = io.BytesIO(_ORDER)
        return strict_json.text_of(asked)

    def in_flight() -> None:
        metrics.in_flight.inc()
        metrics.in_flight.dec()

    def counters() -> None:
        metrics.observe("/api/v1/bookings/reserve", "POST", 201, 0.002, "RESERVED")

    def line() -> None:
        known = {
            "request_id": asked.request_id,
            "booking_id": _BOOKING_ID,
            "method": "POST",
            "route": "/api/v1/bookings/reserve",
            "status": 201,
            "ms": 1.23,
        }
        request_log.log.tell(20, "request", known)

    parts: dict[str, Callable[[], Any]] = {
        "who asks (a token seen before)": lambda: identity.user(environ),
        "the order, of a body seen before": lambda: read(body()),
        "the order, of a body that is new": lambda: load(strict_json.value_of(body())),
        "the answer, of the reservation": lambda: present.reserved(held),
        "the answer, as bytes and headers": answer.rendered,
        "the line of log": line,
        "counters, in the shared files": counters,
        "requests in flight, there as well": in_flight,
    }
    return [Layer(name, statistics.median(_alone(part) for _ in range(4 * rounds))) for name, part in parts.items()]


def _alone(part: Callable[[], Any]) -> float:
    began = time.process_time()
    for _ in range(_PER_TURN):
        part()
    return (time.process_time() - began) / _PER_TURN * 1e6


def _main() -> None:
    import jwt

    rounds = int(sys.argv[1])
    token = jwt.encode({"sub": "ann", "exp": int(time.time()) + 3600}, SECRET)
    figures = {"costs": _ways(rounds, token), "layers": _layers(rounds, token)}
    print(json.dumps(figures, default=vars))


if __name__ == "__main__":
    _main()
