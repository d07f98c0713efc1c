"""What the scripts tell of a reservation, as records (the order of `facts` in lua/include/reservation.lua)."""

from typing import Any, Final

from app.domain.model import Booking, Ceiling, Pin, Seen
from app.domain.ports import Entry

_KINDS: Final = {"reserved": "created", "pinned": "created", "released": "released", "expired": "expired"}


def entry(facts: list[Any], epoch: int) -> Entry:
    """As `lua/include/outbox.lua` tells it; under no number of the stream, for it is not in it."""
    booking_id, event, zone, user, quantity, price, currency, reserved_at, deadline, version, state, _, _, *rest = facts
    key, fingerprint, at = rest
    return {
        "seq": f"{epoch}-0",
        "kind": _KINDS[state],
        "booking_id": booking_id,
        "event_id": event,
        "zone_id": zone,
        "user_id": user,
        "quantity": quantity,
        "unit_price_minor": price,
        "currency": currency,
        "version": version,
        "reserved_at_ms": reserved_at,
        "deadline_ms": deadline,
        "at_ms": at,
        "idempotency_key": key,
        "fingerprint": fingerprint,
    }


def pairs(flat: list[Any]) -> dict[str, int]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def booking(facts: list[Any]) -> Booking:
    booking_id, event, zone, user, quantity, price, currency, reserved_at, deadline, version, state, *_, at = facts
    return Booking(
        booking_id=booking_id,
        event_id=event,
        zone_id=zone,
        user_id=user,
        quantity=quantity,
        unit_price_minor=price,
        currency=currency,
        status="reserved" if state == "pinned" else state,
        reserved_at_ms=reserved_at,
        deadline_ms=deadline,
        version=version,
        ended_at_ms=at if state in ("released", "expired") else None,
    )


def seen(facts: list[Any], now: int) -> Seen:
    told = booking(facts)
    return Seen(told, facts[10] == "pinned", max(0, told.deadline_ms - now), at_ms=facts[15], pins=facts[11])


def ceiling(name: str, epoch: int, number: int) -> Ceiling:
    event_id, _, zone_id = name.partition("/")
    return Ceiling(event_id, zone_id, epoch, number)


def pin(facts: list[Any], epoch: int) -> Pin:
    number, payment, key, fingerprint = facts[11:15]
    return Pin(
        booking=booking(facts),
        epoch=epoch,
        number=number,
        idempotency_key=key,
        fingerprint=fingerprint,
        payment_id=payment or None,
    )
