"""/bookings: reserve, confirm, release, get."""

from typing import Final

from app.api import answers, present, schemas
from app.api.contract import Blueprint, refuses
from app.api.idempotency import keyed
from app.api.identity import for_user
from app.api.paths import BOOKING, known_ids
from app.api.services import wired
from app.domain.model import Booking, Held, Order

blueprint: Final = Blueprint("bookings", "Seats are reserved, then confirmed, released, or left to expire")


@blueprint.route("POST", "/bookings/reserve")
@blueprint.answers(present.reserved, {201: answers.Reserved}, "Location", "Idempotency-Replayed")
@refuses("INSUFFICIENT_SEATS", "MAX_TICKETS_EXCEEDED", "PRICE_CHANGED", "SALE_CLOSED", "IDEMPOTENCY_KEY_REUSED")
@refuses("EVENT_NOT_FOUND", "ZONE_NOT_FOUND", "SERVICE_UNAVAILABLE")
@for_user
@blueprint.takes(schemas.Reserve)
@keyed
def reserve(order: Order, *, user: str) -> Held:
    """Hold seats until a deadline

    With an idempotency key a retry is safe: it gets the first answer again and takes no more seats. The key stands for
    this user and event for 24 hours. A refusal is not remembered: a retry may succeed.
    """
    return wired().reserve(user, order)


@blueprint.route("POST", "/bookings/<booking_id>/confirm", parameters=[BOOKING])
@blueprint.answers(present.confirmed, {200: answers.Confirmed})
@refuses("RESERVATION_NOT_FOUND", "ALREADY_CONFIRMED", "CONFIRMATION_IN_PROGRESS")
@refuses("INSUFFICIENT_SEATS", "MAX_TICKETS_EXCEEDED", "SERVICE_UNAVAILABLE")
@for_user
@known_ids
@blueprint.takes(schemas.Confirm, required=False)
def confirm(payment_id: str | None, *, user: str, booking_id: str) -> Booking:
    """Turn a reservation into a booking

    Its 200 is durable. Asked again with the same payment it answers the same.
    """
    return wired().confirm(user, booking_id, payment_id)


@blueprint.route("DELETE", "/bookings/<booking_id>", parameters=[BOOKING])
@blueprint.route("POST", "/bookings/<booking_id>/release", operation="release_by_post", parameters=[BOOKING])
@blueprint.answers(present.released, {200: answers.Released})
@refuses("RESERVATION_NOT_FOUND", "ALREADY_CONFIRMED", "CONFIRMATION_IN_PROGRESS", "SERVICE_UNAVAILABLE")
@for_user
@known_ids
@blueprint.takes(schemas.Nothing, required=False)
def release(_: object, *, user: str, booking_id: str) -> Booking:
    """Give reserved seats back before the deadline"""
    return wired().release(user, booking_id)


@blueprint.route("GET", "/bookings/<booking_id>", operation="get_booking", parameters=[BOOKING])
@blueprint.answers(present.found, {200: answers.Booking})
@refuses("RESERVATION_NOT_FOUND", "SERVICE_UNAVAILABLE")
@for_user
@known_ids
def get(*, user: str, booking_id: str) -> Booking:
    """One's own booking, in whatever state"""
    return wired().get(user, booking_id)
