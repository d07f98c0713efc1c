"""Records of the domain as answers: times in RFC 3339, UTC, to the millisecond; money in decimal strings."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Final

from app.api import cursor
from app.api.contract import Answer, Json
from app.domain import money, times
from app.domain.errors import refusal
from app.domain.model import Booking, Event, Extended, Held, Zone
from app.domain.payments import Payment, Step
from app.services.availability import OnSale
from app.services.history import Past
from app.services.inventory import Compared
from app.services.list_bookings import Page
from app.services.reconcile import WHY, Finding, Report
from app.services.summary import Count

API_PREFIX: Final = "/api/v1"


def reserved(held: Held) -> Answer:
    booking = held.booking
    body = {
        **_seats(booking),
        "expires_at": times.to_text(booking.deadline_ms),
        "expires_in": max(0, held.expires_in_ms // 1000),
    }
    replay = {"Idempotency-Replayed": "true"} if held.replayed else {}
    return Answer(body, 201, {"Location": f"{API_PREFIX}/bookings/{booking.booking_id}", **replay})


def confirmed(booking: Booking) -> Answer:
    if booking.status == "reserved":
        return Answer(_booking(booking), 202)  # the provider's word is still to come
    return Answer(_without_none({**_seats(booking), **_confirmation(booking)}))


def released(booking: Booking) -> Answer:
    return Answer({"booking_id": booking.booking_id, "status": "released"})


def found(booking: Booking) -> Answer:
    return Answer(_booking(booking))


def _booking(booking: Booking) -> Json:
    body = {
        **_seats(booking),
        "user_id": booking.user_id,
        "version": booking.version,
        "reserved_at": times.to_text(booking.reserved_at_ms),
        "expires_at": times.to_text(booking.deadline_ms),
        **_confirmation(booking),
        "ended_at": _instant_or_none(booking.ended_at_ms),
        "cause": booking.cause,
        "payment": _payment(booking),
    }
    return _without_none(body)


def _payment(booking: Booking) -> Json | None:
    if booking.payment_state is None:
        return None
    return _without_none({"state": booking.payment_state, "booking_id": booking.paid_booking_id})


def cancelled(booking: Booking) -> Answer:
    return Answer(_without_none({**_seats(booking), "ended_at": _instant_or_none(booking.ended_at_ms)}))


def extended(outcome: Extended) -> Answer:
    booking = outcome.booking
    body = {
        **_seats(booking),
        "expires_at": times.to_text(booking.deadline_ms),
        "expires_in": outcome.expires_in_ms // 1000,
    }
    return Answer(body, 200, {"Idempotency-Replayed": "true"} if outcome.replayed else {})


def page(found: Page) -> Answer:
    body = {"data": [_booking(booking) for booking in found.bookings]}
    return Answer(body | ({"next_cursor": cursor.to_text(found.next_before)} if found.next_before else {}))


def history(past: Past) -> Answer:
    transitions = [
        {"version": t.version, "status": t.status, "at": times.to_text(t.at_ms), "cause": t.cause}
        for t in past.transitions
    ]
    payments = [_attempt(payment, steps) for payment, steps in past.payments]
    return Answer({"data": transitions, **({"payments": payments} if payments else {})})


def _attempt(payment: Payment, steps: Iterable[Step]) -> Json:
    return {
        "payment_id": payment.payment_id,
        "amount": money.to_text(payment.amount_minor, payment.currency),
        "currency": payment.currency,
        "state": payment.state,
        "steps": [
            _without_none({"state": step.state, "at": times.to_text(step.at_ms), "detail": step.detail})
            for step in steps
        ],
    }


def received(new: bool) -> Answer:
    return Answer({"status": "received" if new else "known"})


def count(seats: Count) -> Answer:
    return Answer(asdict(seats))


def inventory(zones: Iterable[Compared]) -> Answer:
    return Answer({"data": [_compared(zone) for zone in zones]})


def reconciled(report: Report) -> Answer:
    found, repaired = ([_found(finding) for finding in each] for each in (report.findings, report.repaired))
    return Answer({"data": found, "repaired": repaired, "zones": len(report.zones)})


def _found(finding: Finding) -> Json:
    return _without_none(
        {
            "event_id": finding.event_id,
            "zone_id": finding.zone_id,
            "code": finding.code,
            "why": WHY[finding.code],
            "seats": finding.seats,
            "booking_id": finding.booking_id,
        }
    )


def _compared(zone: Compared) -> Json:
    stock = zone.stock
    return _without_none(
        {
            "event_id": stock.event_id,
            "zone_id": stock.zone_id,
            "redis": asdict(zone.redis) if zone.redis else None,
            "postgres": {
                "capacity": stock.capacity,
                "confirmed": stock.confirmed,
                "reserved": stock.reserved,
                "version": stock.version,
            },
            "drift": zone.drift,
        }
    )


def events(catalogue: Iterable[tuple[Event, list[OnSale]]]) -> Answer:
    return Answer({"data": [_event_on_sale(event, zones) for event, zones in catalogue]})


def event(entry: tuple[Event, list[OnSale]]) -> Answer:
    terms, zones = entry
    return Answer({**_event_on_sale(terms, zones), "zones": [_zone_on_sale(zone) for zone in zones]})


def zones(entry: tuple[Event, list[OnSale]]) -> Answer:
    return Answer({"data": [_zone_on_sale(zone) for zone in entry[1]]})


def zone(on_sale: OnSale) -> Answer:
    return Answer(_zone_on_sale(on_sale))


def event_put(outcome: tuple[Event, bool]) -> Answer:
    terms, created = outcome
    return Answer(_event(terms), 201 if created else 200)


def zone_put(outcome: tuple[Zone, bool]) -> Answer:
    terms, created = outcome
    return Answer({**_zone(terms), "price_minor": terms.price_minor}, 201 if created else 200)


def ready(parts: Mapping[str, str]) -> Answer:
    """Raises `SERVICE_UNAVAILABLE`, with the parts, unless each is ok."""
    wrong = [name for name, state in parts.items() if state != "ok"]
    if wrong:
        raise refusal("SERVICE_UNAVAILABLE", f"Not ready: {', '.join(wrong)}", parts=dict(parts))
    return Answer({"status": "ok", "parts": dict(parts)})


def alive(_: None) -> Answer:
    return Answer({"status": "ok"})


def _seats(booking: Booking) -> Json:
    return {
        "booking_id": booking.booking_id,
        "status": booking.status,
        "event_id": booking.event_id,
        "zone_id": booking.zone_id,
        "quantity": booking.quantity,
        "unit_price": money.to_text(booking.unit_price_minor, booking.currency),
        "total_price": money.to_text(booking.unit_price_minor * booking.quantity, booking.currency),
        "currency": booking.currency,
    }


def _confirmation(booking: Booking) -> Json:
    return {
        "confirmed_at": _instant_or_none(booking.confirmed_at_ms),
        "confirmation_code": booking.confirmation_code,
        "payment_id": booking.payment_id,
    }


def _event(terms: Event) -> Json:
    return _without_none(
        {
            "event_id": terms.event_id,
            "name": terms.name,
            "opens_at": _instant_or_none(terms.opens_at_ms),
            "closes_at": _instant_or_none(terms.closes_at_ms),
            "hold_seconds": terms.hold_seconds,
            "hold_seconds_max": terms.hold_seconds_max,
            "max_per_user": terms.max_per_user,
            "max_per_reservation": terms.max_per_reservation,
        }
    )


def _event_on_sale(terms: Event, zones: Iterable[OnSale]) -> Json:
    seats = [zone.seats for zone in zones]
    return {
        **_event(terms),
        "capacity": sum(each.capacity for each in seats),
        "available": sum(each.available for each in seats),
    }


def _zone(terms: Zone) -> Json:
    return {
        "event_id": terms.event_id,
        "zone_id": terms.zone_id,
        "name": terms.name,
        "capacity": terms.capacity,
        "unit_price": money.to_text(terms.price_minor, terms.currency),
        "currency": terms.currency,
    }


def _zone_on_sale(on_sale: OnSale) -> Json:
    seats = on_sale.seats
    return {
        **_zone(on_sale.zone),
        "capacity": seats.capacity,
        "available": seats.available,
        "held": seats.held,
        "confirmed": seats.confirmed,
    }


def _instant_or_none(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else times.to_text(milliseconds)


def _without_none(body: dict[str, Any]) -> Json:
    return {name: value for name, value in body.items() if value is not None}
