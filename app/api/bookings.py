"""/bookings: every verb of a buyer."""

from typing import Any, Final

from app.api import answers, present, schemas
from app.api.conditional import conditional
from app.api.contract import Blueprint, refuses
from app.api.idempotency import key_in_header, key_not_needed, keyed
from app.api.identity import for_user
from app.api.paths import BOOKING, known_ids
from app.api.services import wired
from app.domain.model import Booking, Extended, Held, Order
from app.services.history import Past
from app.services.list_bookings import Page
from app.services.summary import Count

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
@blueprint.answers(present.confirmed, {200: answers.Confirmed, 202: answers.Booking})
@refuses("RESERVATION_NOT_FOUND", "ALREADY_CONFIRMED", "CONFIRMATION_IN_PROGRESS", "PAYMENT_DECLINED")
@refuses("INSUFFICIENT_SEATS", "MAX_TICKETS_EXCEEDED", "SERVICE_UNAVAILABLE")
@for_user
@known_ids
@key_not_needed
@blueprint.takes(schemas.Confirm, required=False)
def confirm(payment_id: str | None, *, user: str, booking_id: str) -> Booking:
    """Turn a reservation into a booking

    Its 200 is durable. Asked again with the same payment it answers the same. 202: the payment provider's word is
    still to come, and the seats cannot expire until then; ask again with the same payment, or look at `payment.state`.
    After a 402 another payment may be tried until the deadline.
    """
    return wired().confirm(user, booking_id, payment_id)


@blueprint.route("DELETE", "/bookings/<booking_id>", parameters=[BOOKING])
@blueprint.route("POST", "/bookings/<booking_id>/release", operation="release_by_post", parameters=[BOOKING])
@blueprint.answers(present.released, {200: answers.Released})
@refuses("RESERVATION_NOT_FOUND", "ALREADY_CONFIRMED", "CONFIRMATION_IN_PROGRESS", "SERVICE_UNAVAILABLE")
@for_user
@known_ids
@key_not_needed
@blueprint.takes(schemas.Nothing, required=False)
def release(_: object, *, user: str, booking_id: str) -> Booking:
    """Give reserved seats back before the deadline"""
    return wired().release(user, booking_id)


@blueprint.route("POST", "/bookings/<booking_id>/cancel", parameters=[BOOKING])
@blueprint.answers(present.cancelled, {200: answers.Cancelled})
@refuses("RESERVATION_NOT_FOUND", "CONFIRMATION_IN_PROGRESS", "SERVICE_UNAVAILABLE")
@for_user
@known_ids
@key_not_needed
@blueprint.takes(schemas.Cancel, required=False)
def cancel(reason: str | None, *, user: str, booking_id: str) -> Booking:
    """Give seats back, confirmed or not

    A reservation is released. A confirmed booking is cancelled: its seats are on sale again; asked again it answers the
    same.
    """
    return wired().cancel(user, booking_id, reason)


@blueprint.route("POST", "/bookings/<booking_id>/extend", parameters=[BOOKING])
@blueprint.answers(present.extended, {200: answers.Extended}, "Idempotency-Replayed")
@refuses("RESERVATION_NOT_FOUND", "HOLD_LIMIT_REACHED", "IDEMPOTENCY_KEY_REUSED")
@refuses("ALREADY_CONFIRMED", "CONFIRMATION_IN_PROGRESS", "SERVICE_UNAVAILABLE")
@for_user
@known_ids
@key_in_header
@blueprint.takes(schemas.Nothing, required=False)
def extend(_: object, *, user: str, booking_id: str, key: str | None) -> Extended:
    """Move the deadline of a reservation

    By the event's `hold_seconds`, as often as `hold_seconds_max` admits. Each call moves it again, one with an
    idempotency key only once.
    """
    return wired().extend(user, booking_id, key)


@blueprint.route("GET", "/bookings")
@blueprint.answers(present.page, {200: answers.Page})
@refuses("SERVICE_UNAVAILABLE")
@for_user
@blueprint.asks(schemas.ListBookings)
def list_bookings(asked: dict[str, Any], *, user: str) -> Page:
    """One's own bookings, newest first"""
    return wired().list_bookings(user, asked["event_id"], asked["status"], asked["cursor"], asked["limit"])


@blueprint.route("GET", "/bookings/summary")
@blueprint.answers(present.count, {200: answers.Count})
@refuses("EVENT_NOT_FOUND", "SERVICE_UNAVAILABLE")
@for_user
@blueprint.asks(schemas.OfEvent)
def summary(asked: dict[str, Any], *, user: str) -> Count:
    """How many seats of an event one has, and may still have"""
    return wired().summary(user, asked["event_id"])


@blueprint.route("GET", "/bookings/<booking_id>/history", parameters=[BOOKING])
@blueprint.answers(present.history, {200: answers.History})
@refuses("RESERVATION_NOT_FOUND", "SERVICE_UNAVAILABLE")
@for_user
@known_ids
def history(*, user: str, booking_id: str) -> Past:
    """Every transition of one's own booking, and every attempt to pay for it, oldest first"""
    return wired().history(user, booking_id)


@blueprint.route("GET", "/bookings/<booking_id>", operation="get_booking", parameters=[BOOKING])
@conditional
@blueprint.answers(present.found, {200: answers.Booking})
@refuses("RESERVATION_NOT_FOUND", "SERVICE_UNAVAILABLE")
@for_user
@known_ids
def get(*, user: str, booking_id: str) -> Booking:
    """One's own booking, in whatever state"""
    return wired().get(user, booking_id)
