"""Whatever a client sends, it is answered by the table: never a bug."""

import json
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.factory import create_app
from app.settings import Settings
from tests.unit.api.canned import BOOKING_PATH, ENVIRONMENT, Services

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
FIELDS = ["event_id", "zone_id", "quantity", "unit_price", "idempotency_key", "payment_id", "name", "opens_at"]
FIELDS += ["closes_at", "hold_seconds", "hold_seconds_max", "capacity", "price_minor", "currency"]
BODIES = (
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6).map(lambda value: json.dumps(value).encode())
)
ROUTES = [
    ("POST", "/bookings/reserve"),
    ("POST", f"{BOOKING_PATH}/confirm"),
    ("DELETE", BOOKING_PATH),
    ("PUT", "/admin/events/demo"),
    ("PUT", "/admin/events/demo/zones/A"),
]
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=["on", "off"], ids=["hot", "by-flask"])
def app(request: pytest.FixtureRequest) -> Flask:
    return create_app(Settings.from_environment({**ENVIRONMENT, "HOT_ROUTES": request.param}), lambda _: Services())


@pytest.fixture(scope="module", params=["gateway", "jwt"])
def in_either_mode(request: pytest.FixtureRequest) -> Flask:
    mode = {"AUTH_MODE": request.param, "JWT_SECRET": "0123456789abcdef0123456789abcdef"}
    return create_app(Settings.from_environment({**ENVIRONMENT, **mode}), lambda _: Services())


def ask(app: Flask, method: str, path: str, **request: Any) -> int:
    headers = {"X-User-ID": "ann", "Authorization": f"Bearer {ENVIRONMENT['ADMIN_TOKEN']}"}
    answer = app.test_client().open(path, method=method, headers={**headers, **request.pop("headers", {})}, **request)
    assert answer.status_code < 500, answer.text
    return answer.status_code


@pytest.mark.parametrize(("method", "route"), ROUTES)
@MANY
@given(body=BODIES)
def test_no_body_is_a_bug(app: Flask, method: str, route: str, body: bytes) -> None:
    assert ask(app, method, f"/api/v1{route}", data=body, content_type="application/json") in (200, 201, 400, 422)


@MANY
@given(event=st.text(min_size=1), zone=st.text(min_size=1))
def test_no_path_is_a_bug(app: Flask, event: str, zone: str) -> None:
    path = f"/api/v1/events/{event}/zones/{zone}".replace("?", "").replace("\n", "")
    ask(app, "GET", path.encode("utf-8", "replace").decode())
    ask(app, "PUT", path.encode("utf-8", "replace").decode().replace("/events", "/admin/events"), json={})


@MANY
@given(
    name=st.sampled_from(["X-User-ID", "Authorization", "Idempotency-Key", "X-Request-ID", "Content-Type", "Host"]),
    value=st.sampled_from(["", "Bearer "]).flatmap(
        lambda start: st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=300).map(
            start.__add__
        )
    ),
)
def test_no_header_is_a_bug(in_either_mode: Flask, name: str, value: str) -> None:
    ask(
        in_either_mode,
        "POST",
        "/bookings/reserve",
        data=b"{}",
        headers={"Content-Type": "application/json", name: value},
    )
