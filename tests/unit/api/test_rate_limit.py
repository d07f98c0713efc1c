"""A limit for each client, as HTTP tells it. The bucket itself is the script's: tests/integration/lua/test_limit.py."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import validate

from app.api.rate_limit import peer_of
from app.domain.limits import Allowance, Rate
from app.factory import create_app
from app.settings import Settings
from tests.unit.api.canned import BOOKING_PATH, ENVIRONMENT, Services, Verb

ADMIT = Allowance(remaining=7, full_in_seconds=2)
REFUSE = Allowance(remaining=0, full_in_seconds=6, retry_in_seconds=3)


class Limits:
    rate = Rate(per_minute=120, burst=10)

    def __init__(self) -> None:
        self.ask = Verb(ADMIT)


@pytest.fixture
def limits(services: Services) -> Limits:
    services.limits = Limits()
    return services.limits


@pytest.fixture
def limited(services: Services, limits: Limits) -> FlaskClient:
    app = create_app(Settings.from_environment(ENVIRONMENT), lambda _: services)
    client = app.test_client()
    client.environ_base.update(HTTP_X_USER_ID="ann", HTTP_AUTHORIZATION=f"Bearer {ENVIRONMENT['ADMIN_TOKEN']}")
    return client


def test_an_answer_tells_what_is_left_in_structured_fields(limited: FlaskClient) -> None:
    answer = limited.get(BOOKING_PATH)
    assert answer.status_code == 200
    assert answer.headers["RateLimit-Policy"] == '"client";q=10;w=5'
    assert answer.headers["RateLimit"] == '"client";r=7;t=2'
    assert "Retry-After" not in answer.headers


def test_past_the_limit_it_is_429_with_the_wait_and_no_service_is_asked(
    limited: FlaskClient, limits: Limits, services: Services
) -> None:
    limits.ask.answer = REFUSE
    answer = limited.get(BOOKING_PATH)
    assert (answer.status_code, answer.mimetype) == (429, "application/problem+json")
    assert answer.json["code"] == "RATE_LIMITED"
    assert answer.headers["Retry-After"] == "3"
    assert answer.headers["RateLimit"] == '"client";r=0;t=6'
    assert services.get.asked == []


def test_the_client_is_the_user_or_where_no_user_is_known_the_peer(limited: FlaskClient, limits: Limits) -> None:
    for path in (BOOKING_PATH, f"/api/v1{BOOKING_PATH}", "/api/v1/events", "/api/v1/events/demo/zones/A"):
        assert limited.get(path).status_code == 200
    assert limits.ask.asked == [("user ann",)] * 2 + [("peer 127.0.0.1",)] * 2


def test_a_user_cannot_pass_for_a_peer(limited: FlaskClient, limits: Limits) -> None:
    limited.get(BOOKING_PATH, headers={"X-User-ID": "peer 127.0.0.1"})
    assert limits.ask.asked == [("user peer 127.0.0.1",)]


def test_neighbours_in_one_ipv6_network_are_one_peer() -> None:
    assert peer_of("2001:db8::1") == peer_of("2001:db8::ffff:1") == "2001:db8::/64"
    assert peer_of("2001:db8:0:1::1") != peer_of("2001:db8::1")
    assert peer_of("192.0.2.1") == "192.0.2.1"
    assert peer_of("") == ""


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/docs", "/openapi.json", "/nowhere"])
def test_what_is_not_limited_has_no_such_headers(limited: FlaskClient, limits: Limits, path: str) -> None:
    assert "RateLimit" not in limited.get(path).headers
    assert limits.ask.asked == []


def test_administrators_are_not_limited(limited: FlaskClient, limits: Limits) -> None:
    assert limited.put("/api/v1/admin/events/demo", json={"name": "Demo"}).status_code == 201
    assert limits.ask.asked == []


def test_where_the_memory_of_it_is_away_everybody_is_admitted(limited: FlaskClient, limits: Limits) -> None:
    limits.ask.answer = None
    answer = limited.get(BOOKING_PATH)
    assert answer.status_code == 200
    assert "RateLimit" not in answer.headers


def test_it_is_documented_where_it_is_on(limited: FlaskClient) -> None:
    document: Any = limited.get("/openapi.json").json
    validate(document)
    for path, item in document["paths"].items():
        for method in item.keys() - {"parameters"}:
            responses = item[method]["responses"]
            limited_here = "/bookings" in path or path.startswith("/api/v1/events")
            assert ("429" in responses) is limited_here, path
            assert ("RateLimit" in responses.get("200", responses.get("201"))["headers"]) if limited_here else True
            if limited_here:
                assert {"Retry-After", "RateLimit", "RateLimit-Policy"} == set(responses["429"]["headers"])


def test_off_which_is_the_default_it_is_not_there_at_all(client: FlaskClient) -> None:
    app = client.application
    assert type(app.extensions["holdfast.identity"]).__name__ == "ByGateway"
    assert not any("rate_limit" in hook.__module__ for hook in app.before_request_funcs[None])
    assert not any("rate_limit" in hook.__module__ for hook in app.after_request_funcs[None])
    assert "429" not in str(client.get("/openapi.json").json["paths"])


def test_the_window_is_what_an_empty_bucket_takes_to_fill() -> None:
    assert Rate(per_minute=60, burst=60).window_seconds == 60
    assert Rate(per_minute=7, burst=1).window_seconds == 9
    assert Rate(per_minute=1_000_000, burst=1).window_seconds == 1
