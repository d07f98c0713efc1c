"""Fields of requests, stricter than marshmallow's own: nothing is converted that the client did not mean."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from marshmallow import ValidationError, fields
from marshmallow.validate import Range

from app.api import cursor, idempotency
from app.domain import ids

INT32_MAX: Final = 2**31 - 1  # `integer` of Postgres
ID_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"
PAYMENT_ID_PATTERN: Final = "^[\\x21-\\x7e]{1,255}$"
PRICE_PATTERN: Final = "^[0-9]{1,15}(\\.[0-9]{1,10})?$"
INSTANT: Final = {"type": "string", "format": "date-time", "pattern": "^(19[7-9]|[2-9][0-9]{2})[0-9]-"}
"""JSON schema of a time, from 1970 on."""
_PRICE: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,10})?")
_PAYMENT_ID: Final = re.compile(r"[\x21-\x7e]{1,255}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_RFC3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END_OF_TIME_MS: Final = 253_402_300_800_000  # the year 10000, which RFC 3339 cannot write


def about(description: str, example: object = None, **schema: Any) -> dict[str, Any]:
    """Metadata of a field for OpenAPI: what it means, an example, and more members of its JSON schema."""
    examples = {} if example is None else {"examples": [example]}
    return {"description": description, **examples, **schema}


def clean(longest: int) -> dict[str, Any]:
    """JSON schema of a text for people; lone surrogates, which we refuse too, are not Unicode to a schema anyway."""
    return {"pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$", "minLength": 1, "maxLength": longest}


class Whole(fields.Integer):
    """A JSON integer of `low` to `high`: no boolean, no float, no string."""

    def __init__(self, low: int, high: int, **options: Any) -> None:
        super().__init__(strict=True, validate=Range(low, high), **options)

    def _validated(self, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class _Matching(fields.String):
    """A string of which `accepts` says yes."""

    wrong = "Not valid."

    def accepts(self, text: str) -> bool:
        raise NotImplementedError

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        if not isinstance(value, str) or not self.accepts(value):
            raise ValidationError(self.wrong)
        return value


class Id(_Matching):
    """The id of an event or a zone."""

    wrong = "Must be 1 to 64 of the characters A-Z a-z 0-9 . _ : - and begin with a letter or a digit."

    def accepts(self, text: str) -> bool:
        return ids.is_id(text)


class PaymentId(_Matching):
    wrong = "Must be 1 to 255 visible ASCII characters."

    def accepts(self, text: str) -> bool:
        return _PAYMENT_ID.fullmatch(text) is not None


class Currency(_Matching):
    wrong = "Must be an ISO 4217 code such as EUR."

    def accepts(self, text: str) -> bool:
        return _CURRENCY.fullmatch(text) is not None


class Name(_Matching):
    """1 to 200 characters for people to read, none of which a database, a log or a screen would choke on."""

    wrong = "Must be 1 to 200 characters without control characters."

    def accepts(self, text: str) -> bool:
        return 1 <= len(text) <= 200 and is_clean(text)


class Reason(Name):
    """1 to 500 characters of a customer's own words."""

    wrong = "Must be 1 to 500 characters without control characters."

    def accepts(self, text: str) -> bool:
        return 1 <= len(text) <= 500 and is_clean(text)


class Cursor(fields.Field[str]):
    """A cursor as an earlier page gave it; loads the booking id behind it."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        booking_id = cursor.from_text(value) if isinstance(value, str) else None
        if booking_id is None:
            raise ValidationError("Must be the next_cursor of an earlier page.")
        return booking_id


class IdempotencyKey(fields.Field[str]):
    """In the body. What is no key is refused as one in a header is, with 400 instead of 422."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        return idempotency.checked(value)


class Price(fields.Field[Decimal]):
    """A decimal string or a JSON number that is not below 0."""

    wrong = 'Must be a decimal such as "150.00", not below 0, with at most 15 digits before the point and 10 after it.'

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Decimal:
        match value:
            case str():
                text = value
            case Decimal() if value.is_finite() and -30 < value.adjusted() < 30:  # 1.5E2 is written out
                text = f"{value:f}"
            case int() if not isinstance(value, bool):
                text = str(value)
            case _:
                raise ValidationError(self.wrong)
        if not _PRICE.fullmatch(text):
            raise ValidationError(self.wrong)
        return Decimal(text)


class Instant(fields.Field[int]):
    """A time of RFC 3339 with its offset, from 1970 on; loads Unix milliseconds, what is finer is cut off."""

    wrong = "Must be a time of RFC 3339 with an offset, such as 2026-08-01T20:00:00Z, from 1970 on."

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> int:
        parts = _RFC3339.fullmatch(value) if isinstance(value, str) else None
        if parts is None:
            raise ValidationError(self.wrong)
        day, clock, fraction, offset = parts.groups()
        try:
            whole = datetime.fromisoformat(f"{day}T{clock}{offset.upper().replace('Z', '+00:00')}")
        except ValueError:
            raise ValidationError(self.wrong) from None
        milliseconds = (whole - _EPOCH) // timedelta(milliseconds=1) + int(f"{(fraction or '.')[1:4]:0<3}")
        if not 0 <= milliseconds < _END_OF_TIME_MS:
            raise ValidationError(self.wrong)
        return milliseconds


def is_clean(text: str) -> bool:
    """Whether `text` has no control character and no lone surrogate, which UTF-8 cannot carry."""
    return text.isprintable() or not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
