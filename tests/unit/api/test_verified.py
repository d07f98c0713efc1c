"""A token is verified once, and taken for verified only as long as it would be again."""

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.api.verified import Verified
from tests.support.buyers import until
from tests.unit.api.canned import BOOKING_PATH, SECRET


def now() -> int:
    return int(time.time())


def test_within_its_time_its_claims_are_known() -> None:
    verified = Verified(10)
    claims = {"sub": "ann", "nbf": now(), "exp": now() + 60}
    verified.add("a.b.c", claims)
    assert verified.get("a.b.c") == claims
    assert verified.get("a.b.d") is None


@pytest.mark.parametrize("claims", [{"exp": now() - 1}, {"exp": now() + 7200, "nbf": now() + 3600}])
def test_outside_its_time_it_is_not_known(claims: dict[str, Any]) -> None:
    """Its time has ended, or the clock was set back to before it began."""
    verified = Verified(10)
    verified.add("a.b.c", claims)
    assert verified.get("a.b.c") is None


def test_past_the_limit_the_one_that_was_verified_first_goes() -> None:
    verified = Verified(2)
    for token in ("a", "b", "a", "c"):
        verified.add(token, {"exp": now() + 60})
    assert [bool(verified.get(token)) for token in ("a", "b", "c")] == [True, False, True]


def test_with_a_limit_of_none_none_is_kept() -> None:
    verified = Verified(0)
    verified.add("a", {"exp": now() + 60})
    assert verified.get("a") is None


def test_the_token_itself_is_not_kept() -> None:
    verified = Verified(10)
    verified.add("swordfish", {"sub": "ann", "exp": now() + 60})
    assert "swordfish" not in repr(vars(verified))


# --- seen from outside ---


@pytest.fixture
def client(make_app: Callable[..., Flask]) -> FlaskClient:
    return make_app(AUTH_MODE="jwt", JWT_SECRET=SECRET).test_client()


def status(client: FlaskClient, token: str) -> int:
    return client.get(BOOKING_PATH, headers={"Authorization": f"Bearer {token}"}).status_code


def test_a_signature_is_verified_once(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    token = jwt.encode({"sub": "ann", "exp": now() + 60, "jti": "once"}, SECRET)
    verifying: list[str] = []
    decode = jwt.decode
    monkeypatch.setattr(jwt, "decode", lambda *args, **options: verifying.append(args[0]) or decode(*args, **options))
    assert [status(client, token) for _ in range(3)] == [200, 200, 200]
    assert verifying == [token]


def test_a_token_that_was_refused_is_verified_again(client: FlaskClient) -> None:
    forged = jwt.encode({"sub": "ann", "exp": now() + 60}, SECRET[::-1])
    assert [status(client, forged) for _ in range(2)] == [401, 401]


def test_a_remembered_token_ends_with_its_time(client: FlaskClient) -> None:
    token = jwt.encode({"sub": "ann", "exp": now() + 2}, SECRET)
    assert status(client, token) == 200
    until(lambda: status(client, token) == 401, 20, "it has expired")
