"""A request is answered, logged and measured alike whether Flask leads it to its view or the shorter way (`hot`)."""

import gc
import io
import json
import logging
import time
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from app.api import hot
from app.domain.errors import KINDS, refusal
from app.domain.model import Held
from app.factory import create_app
from app.settings import Settings
from tests.support.controls import goes_red
from tests.unit.api.canned import AT_MS, BOOKING, BOOKING_PATH, ENVIRONMENT, SECRET, Services, Verb

HOUR = int(time.time()) + 3600
TOKEN = jwt.encode({"sub": "ann", "exp": HOUR}, SECRET)
ORDER = {"event_id": "demo", "zone_id": "A", "quantity": 2}
KNOWN_TAG = 'W/"1-5f0d1b8e9c7a6243"'


@dataclass(frozen=True)
class Asking:
    """A request as a WSGI server hands it over."""

    method: str = "POST"
    path: str = "/api/v1/bookings/reserve"
    body: bytes = b""
    query: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    whole: bool = True
    """Whether the body is in memory; else it comes from a stream."""

    def environ(self) -> dict[str, Any]:
        body = io.BytesIO(self.body)
        length = {"CONTENT_LENGTH": str(len(self.body))} if self.body else {}
        return {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": self.path,
            "QUERY_STRING": self.query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": body if self.whole else io.BufferedReader(body),  # type: ignore[type-var]
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "HTTP_HOST": "127.0.0.1:8000",
            "HTTP_X_USER_ID": "ann",
            "HTTP_AUTHORIZATION": f"Bearer {TOKEN}",
            "HTTP_X_REQUEST_ID": "given-by-the-caller",
            "CONTENT_TYPE": "application/json",
            **length,
            **dict(self.fields),
        }


class Way:
    """An application, and all that can be seen of an answer of it."""

    def __init__(self, services: Services, hot_routes: str, **others: str) -> None:
        environment = {**ENVIRONMENT, "JWT_SECRET": SECRET, "HOT_ROUTES": hot_routes, **others}
        self.app = create_app(Settings.from_environment(environment), lambda _: services)
        self.services = services
        self.by_flask = 0
        dispatch = self.app.full_dispatch_request

        def counted() -> Any:
            self.by_flask += 1
            return dispatch()

        self.app.full_dispatch_request = counted  # type: ignore[method-assign]

    def ask(self, asking: Asking) -> dict[str, Any]:
        verbs = (self.services.reserve, self.services.confirm, self.services.release, self.services.get)
        for verb in verbs:
            verb.asked.clear()
        started: list[Any] = []
        lines = Lines()
        before = measured()
        root = logging.getLogger()
        others, root.handlers = root.handlers, [lines]
        try:
            answer = self.app(asking.environ(), lambda status, headers, _=None: started.extend((status, headers)))
            body = b"".join(answer)
        finally:
            root.handlers = others
        status, headers = started
        minted = dict(headers)["X-Request-ID"]
        seen = {
            "status": status,
            "headers": headers,
            "body": body.decode("utf-8", "replace"),
            "lines": lines.seen,
            "measured": {series: now - before.get(series, 0) for series, now in measured().items()},
            "asked": [repr(verb.asked) for verb in verbs],
        }
        seen["measured"] = sorted((name, more) for name, more in seen["measured"].items() if more)
        return json.loads(json.dumps(seen).replace(minted, "(the id of the request)"))  # type: ignore[no-any-return]


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = dict(record.msg) if isinstance(record.msg, dict) else {"event": record.getMessage()}
        self.seen.append({**line, "ms": "", "timestamp": "", "by": record.name, "as": record.levelname})


COUNTERS = ("holdfast_requests_total", "holdfast_request_seconds_count", "holdfast_reserves_total")


def measured() -> dict[str, float]:
    """What counts requests, by series."""
    return {
        f"{sample.name} {sample.labels}": sample.value
        for family in REGISTRY.restricted_registry(COUNTERS).collect()
        for sample in family.samples
    }


def alike(one: Way, other: Way, asking: Asking) -> None:
    """Both answer the same, having asked the same of the services."""
    assert one.ask(asking) == other.ask(asking), "the two ways differ"


@pytest.fixture(scope="module")
def services() -> Services:
    return Services()


@pytest.fixture(scope="module", params=["gateway", "jwt"])
def ways(request: pytest.FixtureRequest, services: Services) -> tuple[Way, Way]:
    return Way(services, "on", AUTH_MODE=request.param), Way(services, "off", AUTH_MODE=request.param)


@pytest.fixture(autouse=True)
def _everything_is_logged() -> None:
    """The fixture of all these tests puts the level back."""
    logging.getLogger().setLevel(logging.INFO)


# --- what is sent ---

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
MEMBERS = {
    "event_id": st.sampled_from(["demo", "other", "", "no spaces", "x" * 65]),
    "zone_id": st.sampled_from(["A", "Z:1", "-", "é"]),
    "quantity": st.integers(-1, 11) | st.sampled_from([2**31, 2**70, True, 1.0, "1"]),
    "unit_price": st.sampled_from(["150.00", 150, 150.5, "0.00001", "1e2", -1, "nothing"]),
    "idempotency_key": st.sampled_from(["k-1", "k-2", "", "two words", 7]),
    "payment_id": st.sampled_from(["pay_1", "", "two words", None]),
    "colour": JSON,
}
ORDERS = st.fixed_dictionaries({}, optional=MEMBERS).map(lambda members: {**ORDER, **members})
BODIES = st.one_of(
    st.just(ORDER).map(lambda order: json.dumps(order).encode()),
    ORDERS.map(lambda order: json.dumps(order).encode()),
    st.fixed_dictionaries({}, optional=MEMBERS).map(lambda members: json.dumps(members).encode()),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=30),
    st.sampled_from([b"", b"{}", b"{", b"null", b'{"a":1,"a":2}', b"\xef\xbb\xbf{}", b"[" * 20_000, b" " * 65_537]),
)
PATHS = st.sampled_from(
    [
        *(prefix + path for prefix in ("", "/api/v1") for path in ("/bookings/reserve", BOOKING_PATH)),
        *(prefix + BOOKING_PATH + verb for prefix in ("", "/api/v1") for verb in ("/confirm", "/release")),
        f"/api/v1{BOOKING_PATH}/cancel",
        f"/api/v1{BOOKING_PATH}/history",
    ]
)
ODD_PATHS = st.sampled_from(
    [
        "",
        "/",
        "//bookings/reserve",
        "/bookings/reserve/",
        "/bookings//reserve",
        "/api/v2/bookings/reserve",
        "/bookings/<booking_id>",
        "/bookings/<booking_id>/confirm",
        BOOKING_PATH.upper(),
        f"{BOOKING_PATH[:-1]}g",
        f"{BOOKING_PATH}0",
        f"{BOOKING_PATH}/",
        f"{BOOKING_PATH}/confirm/",
        f"/x{BOOKING_PATH}",
        f"/bookings{BOOKING_PATH}",
        "/bookings/k\xc3\xa4se",
        "/bookings/\xff\x00",
        f"/bookings/{'a' * 36}",
    ]
)
FIELDS: dict[str, list[str]] = {
    "HTTP_HOST": ["localhost", "a.b", "", "a b", "a..b", "x" * 64, "[::1]:8000", "h:99999999", "h\xc3\xa9", "a,b"],
    "HTTP_X_USER_ID": ["", "k\xc3\xa4the", "\xff", "ann,bob", "u" * 129, "a\tb"],
    "HTTP_AUTHORIZATION": ["", "Bearer", "Basic x", f"bearer {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xff.a.b"],
    "HTTP_X_REQUEST_ID": ["", "short", "new\tline", "x" * 64, "k\xc3\xa4se-k\xc3\xa4se"],
    "HTTP_IDEMPOTENCY_KEY": ["k-1", "", "two words", "k" * 256, "cl\xe9"],
    "HTTP_X_IDEMPOTENCY_KEY": ["k-1", "k-2"],
    "HTTP_IF_NONE_MATCH": ["*", KNOWN_TAG, "", '"', "W/"],
    "HTTP_TRANSFER_ENCODING": ["chunked", "identity"],
    "HTTP_CONNECTION": ["close", "Upgrade"],
    "HTTP_UPGRADE": ["websocket", "h2c"],
    "HTTP_EXPECT": ["100-continue"],
    "HTTP_COOKIE": ["session=x"],
    "HTTP_X_HTTP_METHOD_OVERRIDE": ["DELETE"],
    "CONTENT_TYPE": ["application/json; charset=utf-8", "APPLICATION/JSON", "text/plain", "", ";", "application/x"],
    "CONTENT_LENGTH": ["0", "1", "-1", "7x", "99999999", ""],
}
ODD_FIELDS = st.dictionaries(st.sampled_from(sorted(FIELDS)), st.integers(0, 9), min_size=1, max_size=3).map(
    lambda chosen: tuple((name, FIELDS[name][number % len(FIELDS[name])]) for name, number in chosen.items())
)
REQUESTS = st.builds(
    Asking,
    method=st.sampled_from(["POST", "POST", "GET", "DELETE"]) | st.sampled_from(["PUT", "HEAD", "OPTIONS", "BREW"]),
    path=PATHS | PATHS | PATHS | ODD_PATHS,
    body=BODIES,
    query=st.sampled_from(["", "", "", "a=1", "&"]),
    fields=st.just(()) | ODD_FIELDS,
    whole=st.booleans(),
)
OUTCOMES = [
    *(refusal(kind.code, **{e.name: e.example for e in kind.extensions}) for kind in KINDS.values()),
    RuntimeError("a bug"),
]
BOOKINGS = [
    BOOKING,
    replace(BOOKING, user_id="käthe", version=2),
    replace(BOOKING, status="confirmed", confirmed_at_ms=AT_MS, confirmation_code="K7PW2M9Q", payment_id="pay_1"),
    replace(BOOKING, payment_state="pending"),
    replace(BOOKING, status="expired", ended_at_ms=AT_MS, cause="deadline"),
]
MANY = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


@MANY
@given(
    asking=REQUESTS,
    refused=st.none() | st.none() | st.sampled_from(OUTCOMES),
    booking=st.sampled_from(BOOKINGS),
    replayed=st.booleans(),
)
def test_whatever_is_sent_and_whatever_comes_of_it(
    ways: tuple[Way, Way], services: Services, asking: Asking, refused: Exception | None, booking: Any, replayed: bool
) -> None:
    services.reserve.answer = refused or Held(booking, replayed, 599_999)
    for verb in (services.confirm, services.release, services.get):
        verb.answer = refused or booking
    alike(*ways, asking)


# --- which way is taken ---

PLAIN = [
    Asking(body=json.dumps(ORDER).encode()),
    Asking(path="/bookings/reserve", body=json.dumps({**ORDER, "unit_price": "150.00"}).encode()),
    Asking(body=b'{"quantity":0}'),
    Asking(body=b"{"),
    Asking(body=json.dumps(ORDER).encode(), fields=(("HTTP_IDEMPOTENCY_KEY", "k-1"),)),
    Asking(body=json.dumps(ORDER).encode(), whole=False),
    *(
        Asking(method, f"{prefix}{BOOKING_PATH}{verb}")
        for prefix in ("", "/api/v1")
        for method, verb in (("POST", "/confirm"), ("POST", "/release"), ("DELETE", ""), ("GET", ""))
    ),
    Asking("POST", f"{BOOKING_PATH}/confirm", b'{"payment_id":"pay_1"}'),
    Asking("GET", BOOKING_PATH, fields=(("HTTP_IF_NONE_MATCH", "*"),)),
]
UNUSUAL = [
    Asking(query="a=1", body=json.dumps(ORDER).encode()),
    Asking(body=json.dumps(ORDER).encode(), fields=(("HTTP_TRANSFER_ENCODING", "chunked"),)),
    Asking("GET", BOOKING_PATH, fields=(("HTTP_HOST", "a..b"),)),
    Asking("GET", BOOKING_PATH, fields=(("HTTP_UPGRADE", "websocket"), ("HTTP_CONNECTION", "Upgrade"))),
    Asking("HEAD", BOOKING_PATH),
    Asking("GET", f"{BOOKING_PATH}/"),
    Asking("GET", BOOKING_PATH.upper()),
    Asking("GET", "/bookings/<booking_id>"),
    Asking("POST", f"{BOOKING_PATH}/cancel"),
]


def dispatched(way: Way, asking: Asking) -> int:
    before = way.by_flask
    way.ask(asking)
    return way.by_flask - before


@pytest.mark.parametrize("asking", PLAIN, ids=str)
def test_a_plain_request_does_not_pass_through_flask_unless_told_so(ways: tuple[Way, Way], asking: Asking) -> None:
    assert [dispatched(way, asking) for way in ways] == [0, 1]


HOT = [
    Asking(body=json.dumps(ORDER).encode()),
    Asking("POST", f"{BOOKING_PATH}/confirm"),
    Asking("DELETE", BOOKING_PATH),
    Asking("GET", BOOKING_PATH),
]


@pytest.mark.parametrize("refused", [False, True], ids=["answered", "refused"])
@pytest.mark.parametrize("asking", HOT, ids=str)
def test_what_is_answered_past_flask_leaves_the_garbage_collector_nothing(
    ways: tuple[Way, Way], services: Services, monkeypatch: pytest.MonkeyPatch, asking: Asking, refused: bool
) -> None:
    """In an on-sale most answers are refusals, and a refusal's traceback leads to all that it came through."""

    def refuse(*_: object) -> None:
        raise refusal("INSUFFICIENT_SEATS", available=0)

    held = Held(BOOKING, False, 599_999)
    for name in ("reserve", "confirm", "release", "get"):
        answering = Verb(held if name == "reserve" else BOOKING)
        monkeypatch.setattr(services, name, refuse if refused else answering)
    environ, again = asking.environ(), asking.environ()
    b"".join(ways[0].app(environ, lambda *_: None))  # what is made once
    gc.collect()
    gc.disable()
    try:
        b"".join(ways[0].app(again, lambda *_: None))
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("asking", UNUSUAL, ids=str)
def test_anything_unusual_does(ways: tuple[Way, Way], asking: Asking) -> None:
    assert [dispatched(way, asking) for way in ways] == [1, 1]


def test_with_a_limit_of_requests_every_request_does(services: Services) -> None:
    class Generous:
        rate = type("Rate", (), {"burst": 1, "window_seconds": 1})

        def ask(self, client: str) -> None:
            return None

    services.limits = Generous()
    try:
        limited = Way(services, "on", RATE_LIMIT_PER_MINUTE="60")
    finally:
        services.limits = None
    assert [dispatched(limited, asking) for asking in PLAIN] == [1] * len(PLAIN)


# --- controls ---


@pytest.mark.parametrize(
    ("setting", "asking"),
    [
        ({"RETRY_AFTER_SECONDS": "2"}, Asking("GET", BOOKING_PATH)),
        ({"MAX_BODY_BYTES": "1024"}, Asking(body=json.dumps(ORDER).encode() + b" " * 1024)),
    ],
)
def test_a_way_that_answers_otherwise_is_seen(services: Services, setting: dict[str, str], asking: Asking) -> None:
    services.get.answer = refusal("SERVICE_UNAVAILABLE")
    ways = Way(services, "on"), Way(services, "off", **setting)
    with goes_red("the two ways differ"):
        alike(*ways, asking)


def test_a_way_that_forgets_to_log_and_to_measure_is_seen(
    ways: tuple[Way, Way], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot, "request_log", SimpleNamespace(ended=lambda *_: None))
    with goes_red("the two ways differ"):
        alike(*ways, Asking("GET", BOOKING_PATH))


def test_a_hook_of_flask_that_the_shorter_way_would_pass_by_is_refused(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app import factory

    def with_a_hook(app: Flask) -> None:
        app.teardown_request(lambda error: None)

    monkeypatch.setattr(factory.cli, "register", with_a_hook)
    with pytest.raises(RuntimeError, match="would not call"):
        Way(services, "on")
    Way(services, "off")
