"""A plain body is loaded by the fields alone: to the same value as by marshmallow, or refused with the same words."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError, fields

from app.api import schemas
from app.api.loading import Plain, loader, reader
from app.domain.errors import Refusal

NAMES = ["event_id", "zone_id", "quantity", "unit_price", "idempotency_key", "payment_id", "reason", "colour"]
VALUES = (
    st.sampled_from(["demo", "A", "150.00", "k-1", "", "no spaces", "x" * 256, "é", "\ud800", 1, 0, -1, 2**31, True])
    | st.sampled_from([None, [], {}, Decimal("150.00"), Decimal("1E+2"), Decimal("NaN"), Decimal("1E-300")])
    | st.integers()
    | st.text(max_size=5)
)
BODIES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6) | VALUES
PLAIN = [schemas.Reserve, schemas.Confirm, schemas.Cancel, schemas.Nothing]


def outcome(load: Any, body: Any) -> Any:
    try:
        return "loaded", load(body)
    except Refusal as refused:
        return refused.kind.code, refused.extensions.get("errors")
    except ValidationError as error:
        return "VALIDATION_ERROR", error.messages


@pytest.mark.parametrize("schema", PLAIN)
@settings(max_examples=300, deadline=None)
@given(body=BODIES)
def test_it_comes_to_what_marshmallow_makes_of_it(schema: type[Plain], body: Any) -> None:
    assert outcome(loader(schema()), body) == outcome(schema().load, body)


def test_a_plain_body_does_not_reach_marshmallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: were the fields not asked directly, the test above would compare marshmallow with itself."""
    monkeypatch.setattr(schemas.Reserve, "load", None)
    assert loader(schemas.Reserve())({"event_id": "demo", "zone_id": "A", "quantity": 2}).quantity == 2


def test_a_field_that_does_more_than_judge_is_not_plain() -> None:
    class WithDefault(Plain):
        limit = fields.Integer(load_default=50)

    with pytest.raises(TypeError, match="limit"):
        loader(WithDefault())


def test_what_was_understood_is_remembered_byte_for_byte_and_a_refusal_is_not() -> None:
    read = reader(schemas.Reserve())
    body = b'{"event_id":"demo","zone_id":"A","quantity":2}'
    order = read(body)
    assert read(body) is order
    assert read(body.replace(b"2", b"3")).quantity == 3
    assert (spaced := read(body.replace(b":", b": "))) == order
    assert spaced is not order
    for _ in range(2):
        with pytest.raises(Refusal, match="fields"):
            read(body.replace(b"2", b"true"))


def test_a_long_body_is_not_remembered() -> None:
    read = reader(schemas.Reserve())
    long = b'{"event_id":"demo","zone_id":"A","quantity":2}' + b" " * 256
    assert read(long) == read(long)
    assert read(long) is not read(long)
