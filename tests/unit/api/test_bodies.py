"""How a body is read: what two parsers could understand differently is refused."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.unit.api.canned import BOOKING_PATH

RESERVE = "/api/v1/bookings/reserve"
ORDER = {"event_id": "demo", "zone_id": "A", "quantity": 2}


def send(client: FlaskClient, text: bytes | str, content_type: str | None = "application/json") -> TestResponse:
    return client.post(RESERVE, data=text, content_type=content_type)


def order(**members: Any) -> dict[str, Any]:
    return {**ORDER, **members}


def test_json_is_taken_with_any_parameter_of_its_content_type(client: FlaskClient) -> None:
    text = '{"event_id":"demo","zone_id":"A","quantity":2}'
    assert send(client, text).status_code == 201
    assert send(client, text, "application/json; charset=utf-8").status_code == 201


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/ld+json"]
)
def test_a_body_of_another_content_type_is_415(client: FlaskClient, content_type: str | None) -> None:
    answer = send(client, "{}", content_type)
    assert (answer.status_code, answer.json["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "nothing",
        "{} {}",
        "{'event_id': 'demo'}",
        '{"quantity": NaN}',
        '{"quantity": Infinity}',
        '{"quantity": 1, "quantity": 2}',
        '{"a": {"b": 1, "b": 1}}',
        '{"quantity": 1e99999999999999999999}',
        '{"quantity": ' + "9" * 5000 + "}",
        "[" * 30_000,
        '{"a":' * 10_000,
        b'{"event_id": "\xff"}',
        b"\xef\xbb\xbf{}",
        '{"event_id":"demo"}'.encode("utf-16"),
    ],
)
def test_what_is_not_json_to_every_parser_is_400(client: FlaskClient, text: bytes | str) -> None:
    answer = send(client, text)
    assert (answer.status_code, answer.json["code"]) == (400, "MALFORMED_REQUEST")


@pytest.mark.parametrize("text", ["[]", "null", "1", '"demo"', "[{}]"])
def test_a_body_that_is_no_object_is_422(client: FlaskClient, text: str) -> None:
    answer = send(client, text)
    assert (answer.status_code, answer.json["code"]) == (422, "VALIDATION_ERROR")


def test_an_absent_body_is_an_empty_object(client: FlaskClient) -> None:
    assert client.post(f"{BOOKING_PATH}/confirm").status_code == 200
    assert client.post(f"{BOOKING_PATH}/confirm", data="", content_type="text/plain").status_code == 200
    answer = client.post(RESERVE)
    assert answer.status_code == 422
    assert set(answer.json["errors"]) == {"event_id", "zone_id", "quantity"}


def test_a_body_above_the_limit_is_413_whether_or_not_it_tells_its_length(client: FlaskClient) -> None:
    big = b" " * 65_537
    assert send(client, big).json["code"] == "PAYLOAD_TOO_LARGE"
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    answer = client.post(RESERVE, data=big, content_type="application/json", environ_overrides=chunked)
    assert answer.status_code == 413
    assert send(client, b"{" + b" " * 65_534 + b"}").status_code == 422


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("quantity", 0),
        ("quantity", -1),
        ("quantity", 2**31),
        ("quantity", True),
        ("quantity", 1.0),
        ("quantity", "1"),
        ("quantity", None),
        ("quantity", [1]),
        ("event_id", ""),
        ("event_id", "no spaces"),
        ("event_id", "-first"),
        ("event_id", "demo\n"),
        ("event_id", "e" * 65),
        ("event_id", 7),
        ("zone_id", "A/B"),
        ("zone_id", "\x00"),
        ("zone_id", "\ud800"),
        ("unit_price", "NaN"),
        ("unit_price", "-1"),
        ("unit_price", -1),
        ("unit_price", "1e2"),
        ("unit_price", "1,50"),
        ("unit_price", ".5"),
        ("unit_price", ""),
        ("unit_price", True),
        ("unit_price", "9" * 16),
        ("unit_price", "0.12345678901"),
        ("unit_price", 1e300),
        ("unit_price", 1e-300),
        ("unit_price", None),
        ("colour", "red"),
    ],
)
def test_a_field_that_cannot_be_used_is_422_and_named(client: FlaskClient, member: str, value: object) -> None:
    answer = client.post(RESERVE, json=order(**{member: value}))
    assert (answer.status_code, answer.json["code"]) == (422, "VALIDATION_ERROR")
    assert list(answer.json["errors"]) == [member]


@pytest.mark.parametrize(
    ("written", "ten_thousandths"),
    [
        ('"150.00"', 1_500_000),
        ("150", 1_500_000),
        ("150.0", 1_500_000),
        ("1.5E2", 1_500_000),
        ("1.5e+2", 1_500_000),
        ('"0"', 0),
        ("0.1", 1_000),
        ('"0.0001"', 1),
        ('"0.00001"', -1),
        ("150.0000000001", -1),
    ],
)
def test_a_price_is_read_exactly_in_ten_thousandths(
    client: FlaskClient, services: Any, written: str, ten_thousandths: int
) -> None:
    """-1 equals no price: what is finer than any currency is another price."""
    text = f'{{"event_id":"demo","zone_id":"A","quantity":2,"unit_price":{written}}}'
    assert send(client, text).status_code == 201
    assert services.reserve.asked[0][1].seen_price == ten_thousandths


def test_without_a_price_none_is_compared(client: FlaskClient, services: Any) -> None:
    client.post(RESERVE, json=ORDER)
    assert services.reserve.asked[0][1].seen_price is None


@pytest.mark.parametrize("payment_id", ["", "two words", "é", "\x00", "p" * 256, 7, None])
def test_a_payment_id_is_visible_ascii(client: FlaskClient, payment_id: object) -> None:
    answer = client.post(f"{BOOKING_PATH}/confirm", json={"payment_id": payment_id})
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["payment_id"])


@pytest.mark.parametrize(("method", "path"), [("DELETE", BOOKING_PATH), ("POST", f"{BOOKING_PATH}/release")])
def test_release_takes_an_empty_object_and_nothing_else(client: FlaskClient, method: str, path: str) -> None:
    assert client.open(path, method=method, json={}).status_code == 200
    assert client.open(path, method=method, json={"quantity": 1}).status_code == 422
