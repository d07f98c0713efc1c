"""What answers look like. These schemas only document; `present` writes the answers, and a test compares the two."""

from typing import Any, get_args

from marshmallow import Schema, fields

from app.api.fields import ID_PATTERN, about
from app.domain import model
from app.services.reconcile import WHY

_MONEY = "^[0-9]+(\\.[0-9]+)?$"
_BOOKING_ID = "0198f3a2-7c41-8007-9d2e-5b1f0a6c3e84"


def _text(description: str, example: str, *, required: bool = True, **schema: Any) -> fields.String:
    return fields.String(required=required, metadata=about(description, example, **schema))


def _count(description: str, example: int) -> fields.Integer:
    return fields.Integer(required=True, metadata=about(description, example, minimum=0))


def _instant(description: str, example: str, *, required: bool = True) -> fields.String:
    return _text(description, example, required=required, format="date-time")


def _id(description: str, example: str) -> fields.String:
    return _text(description, example, pattern=ID_PATTERN)


def _status(*which: str) -> fields.String:
    return _text("Where the booking stands", which[0], enum=list(which))


class _OfBooking(Schema):
    booking_id = _text("Names the reservation, and the booking that it becomes", _BOOKING_ID, format="uuid")


class _Seats(_OfBooking):
    event_id = _id("The event", "demo")
    zone_id = _id("The zone of that event", "A")
    quantity = _count("How many seats", 2)
    unit_price = _text("Price of a seat", "150.00", pattern=_MONEY)
    total_price = _text("Price of all of them", "300.00", pattern=_MONEY)
    currency = _text("ISO 4217", "EUR")


class Reserved(_Seats):
    status = _status("reserved")
    expires_at = _instant(
        "The deadline: the seats are on sale again unless confirmed before", "2026-08-01T08:10:00.000Z"
    )
    expires_in = _count("Seconds that are left, by our clock, rounded down", 599)


class Confirmed(_Seats):
    status = _status("confirmed")
    confirmed_at = _instant("When it became a fact", "2026-08-01T08:01:12.345Z")
    confirmation_code = _text("To be shown at the door", "K7PW2M9Q")
    payment_id = _text("As given to confirm", "pay_8231", required=False)


class Released(_OfBooking):
    status = _status("released")


class Cancelled(_Seats):
    """`released` where it was not confirmed."""

    status = _status("cancelled", "released")
    ended_at = _instant("When its seats were given back", "2026-08-01T08:05:00.000Z")


class Extended(_Seats):
    status = _status("reserved")
    expires_at = _instant("The deadline that holds now", "2026-08-01T08:20:00.000Z")
    expires_in = _count("Seconds that are left, by our clock, rounded down", 1199)


class Transition(Schema):
    version = _count("Counts the booking's transitions from 1", 1)
    status = _status("reserved", "confirmed", "released", "expired", "cancelled")
    at = _instant("When it happened", "2026-08-01T08:00:00.000Z")
    cause = _text("What brought it about", "reserve")


_PAYMENT_STATES = list(get_args(model.PaymentState))


class PaymentStep(Schema):
    state = _text("What it came to", "captured", enum=_PAYMENT_STATES)
    at = _instant("When it did", "2026-08-01T08:01:12.345Z")
    detail = _text("Why", "insufficient funds", required=False)


class Attempt(Schema):
    payment_id = _text("As given to confirm", "pay_8231")
    amount = _text("What was to be paid", "300.00", pattern=_MONEY)
    currency = _text("ISO 4217", "EUR")
    state = _text("Where it stands", "captured", enum=_PAYMENT_STATES)
    steps = fields.List(fields.Nested(PaymentStep), required=True)


class History(Schema):
    data = fields.List(fields.Nested(Transition), required=True)
    payments = fields.List(
        fields.Nested(Attempt), metadata=about("Every attempt to pay for it; absent where there was none")
    )


class Received(Schema):
    status = _text("`known`: it had come before", "received", enum=["received", "known"])


class Count(Schema):
    event_id = _id("The event", "demo")
    held = _count("Seats reserved and not confirmed", 2)
    confirmed = _count("Seats confirmed", 3)
    allowed = _count("The event's `max_per_user`", 10)
    remaining = _count("Seats that may still be reserved", 5)


class PaymentState(Schema):
    state = _text("Where the latest attempt to pay stands", "pending", enum=_PAYMENT_STATES)
    booking_id = _text(
        "The booking that it has come to pay for: this one had expired", _BOOKING_ID, required=False, format="uuid"
    )


class Booking(_Seats):
    """Members without a value are left out."""

    status = _status("reserved", "confirmed", "released", "expired", "cancelled")
    user_id = _text("Whose it is", "ann")
    version = _count("Grows with each transition", 1)
    reserved_at = _instant("When it was reserved", "2026-08-01T08:00:00.000Z")
    expires_at = _instant("The deadline that it has or had", "2026-08-01T08:10:00.000Z")
    confirmed_at = _instant("When it became a fact", "2026-08-01T08:01:12.345Z", required=False)
    confirmation_code = _text("To be shown at the door", "K7PW2M9Q", required=False)
    payment_id = _text("As given to confirm", "pay_8231", required=False)
    ended_at = _instant("When it was released, cancelled, or expired", "2026-08-01T08:10:00.104Z", required=False)
    cause = _text("Why it ended", "deadline", required=False)
    payment = fields.Nested(PaymentState, metadata=about("Absent where no provider was ever asked"))


class Page(Schema):
    data = fields.List(fields.Nested(Booking), required=True)
    next_cursor = _text(
        "Where the next page begins; absent on the last one", "AZjzonxBgAedLlsfCmw-hAAAAAA", required=False
    )


class _InRedis(Schema):
    capacity = _count("Seats, as Redis knows", 500)
    confirmed = _count("Seats sold, as Redis knows", 50)
    held = _count("Seats held now", 30)
    available = _count("Seats that can be reserved now", 420)
    version = _count("Of the facts that Redis knows", 7)


class _InPostgres(Schema):
    capacity = _count("Seats", 500)
    confirmed = _count("Seats sold", 50)
    reserved = _count("Seats reserved, as far as recorded", 30)
    version = _count("Of the zone's facts", 7)


class Compared(Schema):
    event_id = _id("The event", "demo")
    zone_id = _id("The zone of that event", "A")
    redis = fields.Nested(_InRedis, metadata=about("Absent where Redis does not know the zone"))
    postgres = fields.Nested(_InPostgres, required=True)
    drift = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata=about("Redis less Postgres, in seats", {"capacity": 0, "confirmed": 0, "held": 0}),
    )


class Inventory(Schema):
    data = fields.List(fields.Nested(Compared), required=True)


class Finding(Schema):
    event_id = _id("The event", "demo")
    zone_id = _id("The zone of that event", "A")
    code = _text("What differs", "ENDED_IN_POSTGRES", enum=sorted(WHY))
    why = _text("The same, for people to read", "live in Redis, final in Postgres")
    seats = fields.Integer(required=True, metadata=about("How many seats it is about", 2))
    booking_id = _text("The booking, if it is about one", "0198f3a2-7c41-8007-9d2e-5b1f0a6c3e84", required=False)


class Reconciled(Schema):
    data = fields.List(fields.Nested(Finding), required=True, metadata=about("What differs; after a repair, still"))
    repaired = fields.List(fields.Nested(Finding), required=True, metadata=about("What differed before the repair"))
    zones = _count("Zones compared", 3)


class _EventTerms(Schema):
    event_id = _id("Names the event", "demo")
    name = _text("For people to read", "Holdfast live")
    opens_at = _instant("Sale begins; absent: it is open", "2026-08-01T08:00:00.000Z", required=False)
    closes_at = _instant("Sale ends; absent: never", "2026-08-31T20:00:00.000Z", required=False)
    hold_seconds = _count("From reserve to the deadline", 600)
    hold_seconds_max = _count("The same with all extensions", 1800)
    max_per_user = _count("Seats of one user, held and confirmed", 10)
    max_per_reservation = _count("Seats of one reservation", 10)


class _ZoneTerms(Schema):
    event_id = _id("The event", "demo")
    zone_id = _id("Names the zone in that event", "A")
    name = _text("For people to read", "Stalls")
    capacity = _count("Seats, sold and unsold", 500)
    unit_price = _text("Price of a seat", "150.00", pattern=_MONEY)
    currency = _text("ISO 4217", "EUR")


class ZonePut(_ZoneTerms):
    price_minor = _count("The same price in minor units of the currency", 15000)


class EventPut(_EventTerms):
    pass


class Zone(_ZoneTerms):
    available = _count("Seats that can be reserved now; those whose deadline has passed count", 420)
    held = _count("Seats reserved and not confirmed", 30)
    confirmed = _count("Seats sold", 50)


class Event(_EventTerms):
    capacity = _count("Seats of all zones", 500)
    available = _count("Seats of all zones that can be reserved now", 420)


class EventWithZones(Event):
    zones = fields.List(fields.Nested(Zone), required=True)


class Zones(Schema):
    data = fields.List(fields.Nested(Zone), required=True)


class Events(Schema):
    data = fields.List(fields.Nested(Event), required=True)


class Ready(Schema):
    status = _text("`ok`", "ok", enum=["ok"])
    parts = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata=about("Each part that serving needs", {"redis": "ok", "postgres": "ok", "shards": "ok"}),
    )


class Alive(Schema):
    status = _text("`ok`", "ok", enum=["ok"])
