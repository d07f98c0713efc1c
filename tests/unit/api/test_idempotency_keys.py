"""Where a key may stand, and what it may be."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

ORDER = {"event_id": "demo", "zone_id": "A", "quantity": 2}


def reserve(client: FlaskClient, headers: dict[str, str] | None = None, **members: Any) -> TestResponse:
    return client.post("/bookings/reserve", json={**ORDER, **members}, headers=headers)


@pytest.mark.parametrize(
    ("headers", "members"),
    [
        ({"Idempotency-Key": "k-1"}, {}),
        ({"X-Idempotency-Key": "k-1"}, {}),
        ({}, {"idempotency_key": "k-1"}),
        ({"Idempotency-Key": "k-1", "X-Idempotency-Key": "k-1"}, {"idempotency_key": "k-1"}),
    ],
)
def test_it_may_stand_in_either_header_or_in_the_body(
    client: FlaskClient, services: Any, headers: dict[str, str], members: dict[str, str]
) -> None:
    assert reserve(client, headers, **members).status_code == 201
    assert services.reserve.asked[0][1].idempotency_key == "k-1"


def test_without_one_none_is_remembered(client: FlaskClient, services: Any) -> None:
    reserve(client)
    assert services.reserve.asked[0][1].idempotency_key is None


@pytest.mark.parametrize(
    ("headers", "members"),
    [
        ({"Idempotency-Key": "k-1", "X-Idempotency-Key": "k-2"}, {}),
        ({"Idempotency-Key": "k-1"}, {"idempotency_key": "k-2"}),
        ({"Idempotency-Key": ""}, {}),
        ({"Idempotency-Key": "two words"}, {}),
        ({"Idempotency-Key": "k" * 256}, {}),
        ({"Idempotency-Key": "clé"}, {}),
        ({}, {"idempotency_key": ""}),
        ({}, {"idempotency_key": "k" * 256}),
        ({}, {"idempotency_key": "k\n"}),
        ({}, {"idempotency_key": 7}),
    ],
)
def test_one_that_is_none_or_two_that_differ_are_400(
    client: FlaskClient, services: Any, headers: dict[str, str], members: dict[str, Any]
) -> None:
    answer = reserve(client, headers, **members)
    assert (answer.status_code, answer.json["code"]) == (400, "IDEMPOTENCY_KEY_INVALID")
    assert services.reserve.asked == []


@pytest.mark.parametrize("key", ["k", "k" * 255, '"quoted"', "a,b", "~!"])
def test_any_1_to_255_visible_ascii_characters_will_do(client: FlaskClient, key: str) -> None:
    assert reserve(client, {"Idempotency-Key": key}).status_code == 201
    assert reserve(client, idempotency_key=key).status_code == 201
