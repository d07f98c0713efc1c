"""What requests may hold. Each loads into what its service takes; unknown fields are refused."""

from typing import Any, get_args

from marshmallow import ValidationError, fields, post_load, validates_schema
from marshmallow.validate import OneOf, Range

from app.api import cursor, idempotency
from app.api.fields import (
    ID_PATTERN,
    INSTANT,
    INT32_MAX,
    PAYMENT_ID_PATTERN,
    PRICE_PATTERN,
    Currency,
    Cursor,
    Id,
    IdempotencyKey,
    Instant,
    Name,
    PaymentId,
    Price,
    Reason,
    Whole,
    about,
    clean,
)
from app.api.loading import Plain, Request
from app.domain import money
from app.domain.model import Order, Status

DAY_SECONDS = 86_400
DEAREST_MINOR = 10**11  # a billion euros a seat: what is more is a slip of the pen


class Nothing(Plain):
    """A body without members, or none at all."""


class Reserve(Plain):
    event_id = Id(required=True, metadata=about("The event", "demo", pattern=ID_PATTERN))
    zone_id = Id(required=True, metadata=about("The zone of that event", "A", pattern=ID_PATTERN))
    quantity = Whole(
        1, INT32_MAX, required=True, metadata=about("How many seats; the event's `max_per_reservation` at most", 2)
    )
    unit_price = Price(
        metadata=about(
            "The price that the client saw; any other than today's is refused",
            "150.00",
            oneOf=[
                {"type": "string", "pattern": PRICE_PATTERN},
                {"type": "number", "minimum": 0, "exclusiveMaximum": 10**15},
            ],
        )
    )
    idempotency_key = IdempotencyKey(
        metadata=about(
            "The same as the header `Idempotency-Key`", "order-4711-1", type="string", pattern=idempotency.PATTERN
        )
    )

    def made(self, loaded: dict[str, Any]) -> Order:
        seen = loaded.get("unit_price")
        return Order(
            event_id=loaded["event_id"],
            zone_id=loaded["zone_id"],
            quantity=loaded["quantity"],
            seen_price=None if seen is None else money.finest(seen),
            idempotency_key=loaded.get("idempotency_key"),
        )


class Confirm(Plain):
    payment_id = PaymentId(
        metadata=about("The client's own reference of the payment", "pay_8231", pattern=PAYMENT_ID_PATTERN),
    )

    def made(self, loaded: dict[str, Any]) -> str | None:
        return loaded.get("payment_id")


class Cancel(Plain):
    reason = Reason(metadata=about("Why, in the customer's words", "Cannot come", **clean(500)))

    def made(self, loaded: dict[str, Any]) -> str | None:
        return loaded.get("reason")


class Query(Request):
    """What may be left out is None: not by `load_default`, which would document null as a value to send."""

    @post_load
    def whole(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {**dict.fromkeys(self.fields), **data}


class OfEvent(Query):
    event_id = Id(required=True, metadata=about("The event", "demo", pattern=ID_PATTERN))


class OfEventIfAny(Query):
    event_id = Id(metadata=about("Only of this event", "demo", pattern=ID_PATTERN))


class Reconcile(OfEventIfAny):
    repair = fields.Boolean(load_default=False, metadata=about("Also close the drift", True, default=False))


class ListBookings(OfEventIfAny):
    status = fields.String(
        validate=OneOf(get_args(Status)),
        metadata=about("Only those that stand like this", "confirmed"),
    )
    limit = fields.Integer(
        load_default=50, validate=Range(1, 200), metadata=about("Bookings of one page", 50, default=50)
    )
    cursor = Cursor(metadata=about("`next_cursor` of the page before", type="string", pattern=cursor.PATTERN))


class PutEvent(Request):
    name = Name(required=True, metadata=about("For people to read", "Holdfast live", **clean(200)))
    opens_at = Instant(metadata=about("Sale begins; absent: it is open", "2026-08-01T08:00:00Z", **INSTANT))
    closes_at = Instant(metadata=about("Sale ends; absent: never", "2026-08-31T20:00:00Z", **INSTANT))
    hold_seconds = Whole(
        1, DAY_SECONDS, load_default=600, metadata=about("From reserve to the deadline", 600, default=600)
    )
    hold_seconds_max = Whole(
        1,
        INT32_MAX,
        metadata=about("The same with all extensions; unless given, 1800 or `hold_seconds` if that is more", 1800),
    )
    max_per_user = Whole(
        1, INT32_MAX, load_default=10, metadata=about("Seats of one user, held and confirmed", 10, default=10)
    )
    max_per_reservation = Whole(
        1, INT32_MAX, load_default=10, metadata=about("Seats of one reservation", 10, default=10)
    )

    @validates_schema
    def in_order(self, data: dict[str, Any], **_: Any) -> None:
        if "opens_at" in data and "closes_at" in data and data["closes_at"] <= data["opens_at"]:
            raise ValidationError("Must be after opens_at.", "closes_at")
        if "hold_seconds_max" in data and data["hold_seconds_max"] < data["hold_seconds"]:
            raise ValidationError("Must not be below hold_seconds.", "hold_seconds_max")

    @post_load
    def terms(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Everything of an `Event` but its id."""
        opens_at, closes_at = data.pop("opens_at", None), data.pop("closes_at", None)
        data.setdefault("hold_seconds_max", max(1800, data["hold_seconds"]))
        return {"opens_at_ms": opens_at, "closes_at_ms": closes_at, **data}


class PutZone(Request):
    name = Name(metadata=about("For people to read; the zone's id unless given", "Stalls", **clean(200)))
    capacity = Whole(0, INT32_MAX, required=True, metadata=about("Seats, sold and unsold", 500))
    price_minor = Whole(
        0, DEAREST_MINOR, required=True, metadata=about("Price of a seat in minor units of the currency", 15000)
    )
    currency = Currency(required=True, metadata=about("ISO 4217", "EUR", pattern="^[A-Z]{3}$"))
