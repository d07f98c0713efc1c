"""Who is let in, by a token that we verify or by a gateway's word."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.settings import BadSetting
from tests.unit.api.canned import BOOKING_ID, BOOKING_PATH

SECRET = "0123456789abcdef0123456789abcdef"
ADMIN_TOKEN = "an-administrators-token"
RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
ED25519 = ed25519.Ed25519PrivateKey.generate()
MakeApp = Callable[..., Flask]


def pem_of(private: Any) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return str(private.public_key().public_bytes(encoding, form).decode())


def token(key: Any = SECRET, algorithm: str | None = "HS256", **claims: Any) -> str:
    """For ann, good for a minute, unless `claims` say otherwise; None takes a claim out."""
    all_claims = {"sub": "ann", "exp": time.time() + 60, **claims}
    return jwt.encode({k: v for k, v in all_claims.items() if v is not None}, key, algorithm)


def by_hand(header: dict[str, Any] | str, claims: dict[str, Any], signature: bytes = b"") -> str:
    text = header if isinstance(header, str) else json.dumps(header)
    parts = (text.encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def ask(client: FlaskClient, bearer: str | None, scheme: str = "Bearer") -> TestResponse:
    headers = {} if bearer is None else {"Authorization": f"{scheme} {bearer}"}
    return client.get(BOOKING_PATH, headers=headers)


def put(client: FlaskClient, bearer: str | None) -> TestResponse:
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    return client.put("/api/v1/admin/events/demo", json={"name": "Demo"}, headers=headers)


@pytest.fixture
def by_token(make_app: MakeApp) -> FlaskClient:
    return make_app(AUTH_MODE="jwt", JWT_SECRET=SECRET).test_client()


def test_the_tokens_sub_is_the_user(by_token: FlaskClient, services: Any) -> None:
    assert ask(by_token, token()).status_code == 200
    assert ask(by_token, token(), scheme="bearer").status_code == 200
    assert services.get.asked[0] == ("ann", BOOKING_ID)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1},
        {"exp": None},
        {"exp": "soon"},
        {"nbf": time.time() + 3600},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a\nb"},
        {"sub": "\ud800"},
        {"sub": "u" * 129},
    ],
)
def test_a_token_that_is_over_not_yet_valid_or_nobodys_is_401(by_token: FlaskClient, claims: dict[str, Any]) -> None:
    body = {k: v for k, v in {"sub": "ann", "exp": time.time() + 60, **claims}.items() if v is not None}
    signed = jwt.api_jws.encode(json.dumps(body).encode(), SECRET, "HS256")
    answer = ask(by_token, signed)
    assert (answer.status_code, answer.json["code"]) == (401, "UNAUTHORIZED")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "bearer",
    [
        None,
        "",
        "x",
        "a.b.c",
        token("another secret of enough bytes, as it must"),
        token()[:-2],
        by_hand({"alg": "none"}, {"sub": "ann", "exp": 2**40}),
        by_hand({"alg": "NONE"}, {"sub": "ann", "exp": 2**40}),
        by_hand({"alg": ["HS256"]}, {"sub": "ann", "exp": 2**40}, b"x"),
        by_hand({}, {"sub": "ann", "exp": 2**40}, b"x"),
        by_hand("[" * 4000, {}),
        by_hand('{"alg": ' + "1" * 5000 + "}", {}),
        token(algorithm="HS512", key=SECRET * 2),
        ADMIN_TOKEN,
    ],
)
def test_what_cannot_be_verified_is_401(by_token: FlaskClient, bearer: str | None) -> None:
    assert ask(by_token, bearer).status_code == 401


def test_another_scheme_is_401(by_token: FlaskClient) -> None:
    assert ask(by_token, token(), scheme="Basic").status_code == 401


def test_a_users_header_counts_for_nothing_where_tokens_do(by_token: FlaskClient) -> None:
    assert by_token.get(BOOKING_PATH, headers={"X-User-ID": "ann"}).status_code == 401


@pytest.mark.parametrize(("private", "algorithm"), [(RSA, "RS256"), (ED25519, "EdDSA")])
def test_a_public_key_verifies_the_one_algorithm_of_its_kind(make_app: MakeApp, private: Any, algorithm: str) -> None:
    client = make_app(AUTH_MODE="jwt", JWT_PUBLIC_KEY=pem_of(private)).test_client()
    assert ask(client, token(private, algorithm)).status_code == 200
    assert ask(client, token()).status_code == 401
    assert ask(client, token(RSA, "RS512")).status_code == 401
    assert ask(client, token(RSA, "PS256")).status_code == 401


@pytest.mark.parametrize("private", [RSA, ED25519])
def test_a_public_key_is_no_secret_to_sign_with(make_app: MakeApp, private: Any) -> None:
    """Key confusion: HS256 over the public key's own text."""
    pem = pem_of(private)
    client = make_app(AUTH_MODE="jwt", JWT_PUBLIC_KEY=pem, JWT_SECRET=SECRET).test_client()
    header, claims = {"alg": "HS256", "typ": "JWT"}, {"sub": "ann", "exp": int(time.time()) + 60}
    signing_input = by_hand(header, claims).rpartition(".")[0]
    hmac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    for text in (pem, pem.strip()):
        signature = hmac.sign(signing_input.encode(), text.encode())
        assert ask(client, by_hand(header, claims, signature)).status_code == 401


def test_with_a_secret_and_a_public_key_each_verifies_its_own(make_app: MakeApp) -> None:
    client = make_app(AUTH_MODE="jwt", JWT_PUBLIC_KEY=pem_of(RSA), JWT_SECRET=SECRET).test_client()
    assert ask(client, token()).status_code == 200
    assert ask(client, token(RSA, "RS256")).status_code == 200


def test_a_public_key_of_a_kind_that_we_do_not_take_stops_the_start(make_app: MakeApp) -> None:
    with pytest.raises(BadSetting, match="JWT_PUBLIC_KEY must be an RSA or an Ed25519 key"):
        make_app(AUTH_MODE="jwt", JWT_PUBLIC_KEY=pem_of(ec.generate_private_key(ec.SECP256R1())))
    broken = "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----"
    with pytest.raises(BadSetting, match="JWT_PUBLIC_KEY cannot be read"):
        make_app(AUTH_MODE="jwt", JWT_PUBLIC_KEY=broken)


def test_issuer_and_audience_count_where_they_are_set(make_app: MakeApp, by_token: FlaskClient) -> None:
    strict = make_app(AUTH_MODE="jwt", JWT_SECRET=SECRET, JWT_ISSUER="us", JWT_AUDIENCE="seats").test_client()
    assert ask(strict, token(iss="us", aud="seats")).status_code == 200
    assert ask(strict, token(iss="us", aud=["cars", "seats"])).status_code == 200
    assert ask(strict, token()).status_code == 401
    assert ask(strict, token(iss="them", aud="seats")).status_code == 401
    assert ask(strict, token(iss="us", aud="cars")).status_code == 401
    assert ask(by_token, token(iss="them", aud="cars")).status_code == 200


@pytest.mark.parametrize(
    "claims", [{"scope": "admin"}, {"scope": "read admin"}, {"scope": ["read", "admin"]}, {"role": "admin"}]
)
def test_scope_or_role_admits_to_admin(by_token: FlaskClient, claims: dict[str, Any]) -> None:
    assert put(by_token, token(**claims)).status_code == 201


@pytest.mark.parametrize("claims", [{}, {"scope": "administrator"}, {"scope": 1}, {"role": ["admin"]}, {"admin": True}])
def test_a_token_without_either_is_403_at_admin(by_token: FlaskClient, services: Any, claims: dict[str, Any]) -> None:
    assert put(by_token, token(**claims)).status_code == 403
    assert services.open_zone.event.asked == []


def test_at_admin_no_token_or_a_wrong_one_is_401_where_tokens_count(by_token: FlaskClient) -> None:
    assert put(by_token, None).status_code == 401
    assert put(by_token, "wrong").status_code == 401
    assert put(by_token, token(exp=1, role="admin")).status_code == 401


def test_the_administrators_token_admits_in_both_modes(by_token: FlaskClient, client: FlaskClient) -> None:
    assert put(by_token, ADMIN_TOKEN).status_code == 201
    assert put(client, ADMIN_TOKEN).status_code == 201


def test_without_an_administrators_token_set_none_is_right(make_app: MakeApp) -> None:
    client = make_app(AUTH_MODE="jwt", JWT_SECRET=SECRET, ADMIN_TOKEN="").test_client()
    assert put(client, "None").status_code == 401


def test_behind_a_gateway_everything_but_that_token_is_403_at_admin(client: FlaskClient) -> None:
    assert put(client, None).status_code == 403
    assert put(client, "wrong").status_code == 403
    assert put(client, "é").status_code == 403
    assert put(client, token(role="admin")).status_code == 403


@pytest.mark.parametrize("user", ["ann", "user@example.org", "u" * 128, "zoë"])
def test_behind_a_gateway_its_header_is_the_user(make_app: MakeApp, services: Any, user: str) -> None:
    headers = {"X-User-ID": user.encode().decode("latin-1"), "Authorization": "Bearer whatever"}
    assert make_app().test_client().get(BOOKING_PATH, headers=headers).status_code == 200
    assert services.get.asked[0][0] == user


@pytest.mark.parametrize(
    "user", [None, "", "u" * 129, "a\x01b", "\xff", "mallory,ann", "\u0080".encode().decode("latin-1")]
)
def test_behind_a_gateway_no_user_or_more_than_one_is_401(make_app: MakeApp, user: str | None) -> None:
    headers = {} if user is None else {"X-User-ID": user}
    answer = make_app().test_client().get(BOOKING_PATH, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (401, "UNAUTHORIZED")


def test_identity_comes_before_the_body_is_read(make_app: MakeApp) -> None:
    assert make_app().test_client().post("/bookings/reserve", data="{").status_code == 401


def test_the_catalogue_and_health_need_no_identity(make_app: MakeApp) -> None:
    client = make_app().test_client()
    for path in ("events", "events/demo", "events/demo/zones", "events/demo/zones/A", "livez", "readyz", "metrics"):
        assert client.get(f"/api/v1/{path}").status_code == 200
