"""The one table of refusals: what each is called on every floor, and how it travels over HTTP.

A refusal has one name. It is the `code` of the problem+json answer, the first element of a Lua reply, the outcome
of a PL/pgSQL function or, where a function or a constraint raises, the SQLSTATE or the constraint listed here.
Errors on the wire follow RFC 9457.
"""

from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Extension:
    """A member that a refusal adds to its problem document (RFC 9457, section 3.2)."""

    name: str
    means: str
    example: Any


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table.

    `when` and `then` are for a client's author: what it means, and what to do about it. `sqlstate` is of our own class
    `SE` (implementation-defined by the SQL standard: it begins with S); `constraints` are names of check constraints in
    schema `booking` whose violation means this refusal.
    """

    code: str
    status: int
    title: str
    when: str
    then: str
    extensions: tuple[Extension, ...] = ()
    sqlstate: str | None = None
    constraints: tuple[str, ...] = ()


def _table(*kinds: Kind) -> dict[str, Kind]:
    return {kind.code: kind for kind in kinds}


KINDS: Final = _table(
    Kind(
        "INSUFFICIENT_SEATS",
        409,
        "Not enough seats available",
        "fewer seats are available than asked for",
        "Ask for no more than `available`, or for another zone. Seats that nobody confirms come back: ask later.",
        (Extension("available", "seats of the zone that can be reserved now; absent from confirm", 1),),
        constraints=("zones_never_oversold",),
    ),
    Kind(
        "MAX_TICKETS_EXCEEDED",
        409,
        "Ticket limit exceeded",
        "the user's limit for the event would be passed, held and confirmed together",
        "Ask for no more than `limit` - `taken`, or release a reservation first.",
        (
            Extension("limit", "seats that a user may have of this event; absent from confirm", 10),
            Extension("taken", "seats that this user has, held and confirmed; absent from confirm", 8),
        ),
        constraints=("user_seats_within_limit",),
    ),
    Kind(
        "PRICE_CHANGED",
        409,
        "Price changed",
        "`unit_price` differs from today's",
        "Show `current_price` to the buyer; reserve again with it if they agree.",
        (
            Extension("current_price", "today's price of a seat", "160.00"),
            Extension("currency", "its currency, ISO 4217", "EUR"),
        ),
    ),
    Kind(
        "SALE_CLOSED",
        409,
        "Sale closed",
        "before `opens_at` or from `closes_at` on",
        "Wait for `opens_at`; after `closes_at` there is nothing to be had.",
        (
            Extension("opens_at", "when the sale begins, if the event has such a time", "2026-08-01T08:00:00.000Z"),
            Extension("closes_at", "when it ends, if the event has such a time", "2026-08-31T20:00:00.000Z"),
        ),
    ),
    Kind(
        "CAPACITY_IN_USE",
        409,
        "Capacity in use",
        "a capacity below what is sold and held, or another cut of the same zone is under way",
        "Ask for a larger capacity, or again when reservations have ended.",
        (Extension("in_use", "seats sold and held; absent while another cut is under way", 7),),
        sqlstate="SE409",
    ),
    Kind(
        "CONFIRMATION_IN_PROGRESS",
        409,
        "Confirmation in progress",
        "release, extend or another payment while a confirmation of the same reservation is under way",
        "Ask for the booking after a second: it is confirmed then, or reserved as before.",
    ),
    Kind(
        "HOLD_LIMIT_REACHED",
        409,
        "Hold limit reached",
        "the reservation cannot be extended any further",
        "Confirm before `expires_at`; it stays as it is.",
        (Extension("expires_at", "the deadline that stands", "2026-11-22T19:30:00.000Z"),),
    ),
    Kind(
        "ALREADY_CONFIRMED",
        409,
        "Already confirmed",
        "release of a confirmed booking, or confirm again with another payment",
        "Take it as confirmed. To give the seats back, cancel.",
    ),
    Kind(
        "EVENT_NOT_FOUND", 404, "Event not found", "no such event", "Look the id up in `GET /events`.", sqlstate="SE404"
    ),
    Kind(
        "ZONE_NOT_FOUND",
        404,
        "Zone not found",
        "no such zone in this event",
        "Look the id up in `GET /events/{event_id}/zones`: a zone belongs to its event.",
    ),
    Kind(
        "RESERVATION_NOT_FOUND",
        404,
        "Reservation not found",
        "unknown, malformed id, another's, released, expired or cancelled",
        "Reserve anew. The seats of this one are not yours, whatever the reason.",
        (
            Extension(
                "reason",
                "`unknown`, `released`, `expired` or `cancelled`; of another's booking always `unknown`",
                "expired",
            ),
        ),
    ),
    Kind(
        "IDEMPOTENCY_KEY_INVALID",
        400,
        "Idempotency key invalid",
        "not 1 to 255 visible ASCII characters, or two keys that differ",
        "Send one key, in the header `Idempotency-Key`; a UUID is a good one.",
    ),
    Kind(
        "IDEMPOTENCY_KEY_REUSED",
        422,
        "Idempotency key reused",
        "the key came before with another payload",
        "Send the first payload for its answer, or another payload with a fresh key.",
    ),
    Kind(
        "VALIDATION_ERROR",
        422,
        "Validation failed",
        "a field is missing, unknown or out of range",
        "Mend the fields that `errors` names; the same request is refused again.",
        (Extension("errors", "by field, what is wrong with it", {"quantity": ["Not a valid integer."]}),),
    ),
    Kind(
        "MALFORMED_REQUEST",
        400,
        "Malformed request",
        "the body is not JSON, or the request cannot be read",
        "Mend the client; `detail` tells where reading stopped.",
    ),
    Kind(
        "PAYMENT_DECLINED",
        402,
        "Payment declined",
        "the provider refused the payment; the reservation stands until its deadline",
        "Confirm again with another card before `expires_at`.",
    ),
    Kind(
        "UNAUTHORIZED",
        401,
        "Unauthorized",
        "no identity, or one that cannot be verified",
        "Get a fresh token and ask again with it.",
    ),
    Kind(
        "FORBIDDEN",
        403,
        "Forbidden",
        "the identity may not do this",
        "Ask with one that may: an administrator's.",
        sqlstate="SE403",
    ),
    Kind("NOT_FOUND", 404, "Not found", "no such route", "Mend the path; `/openapi.json` lists them all."),
    Kind(
        "METHOD_NOT_ALLOWED",
        405,
        "Method not allowed",
        "the route exists, with other methods",
        "Use one of those that the header `Allow` lists.",
    ),
    Kind(
        "PAYLOAD_TOO_LARGE",
        413,
        "Payload too large",
        "the body is larger than `MAX_BODY_BYTES`",
        "Send less: what we ask for fits into 1 KiB.",
    ),
    Kind(
        "UNSUPPORTED_MEDIA_TYPE",
        415,
        "Unsupported media type",
        "the body is not `application/json`",
        "Send JSON, with `Content-Type: application/json`.",
    ),
    Kind(
        "RATE_LIMITED",
        429,
        "Rate limited",
        "too many requests from this client",
        "Wait for the seconds of `Retry-After`; then ask again, with the same idempotency key.",
    ),
    Kind(
        "SERVICE_UNAVAILABLE",
        503,
        "Service unavailable",
        "Redis or Postgres down, slow, frozen for rebuild, or overloaded",
        "Wait for the seconds of `Retry-After`, then ask again with the same idempotency key: no seat is taken twice. "
        "Whether this request was carried out is not known.",
        (
            Extension(
                "parts",
                "from the health routes only: the state of each part",
                {"redis": "ok", "postgres": "ok", "shards": "closed: 3"},
            ),
        ),
    ),
    Kind(
        "INTERNAL_ERROR",
        500,
        "Internal error",
        "a bug; carries the request id, never a traceback",
        "Tell us the `request_id`. A retry is safe with the same idempotency key, and may be refused likewise.",
    ),
)


@dataclass(eq=False)
class Refusal(Exception):
    """A definite "no" with a name: nothing was changed, or, for `SERVICE_UNAVAILABLE`, the outcome is not known.

    `extensions` are additional members of the problem document (RFC 9457, section 3.2).
    """

    kind: Kind
    detail: str
    extensions: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind.code}: {self.detail}"


class Unrecordable(Exception):
    """Data that no retry can make acceptable: what carries it is poisonous."""


def refusal(code: str, detail: str | None = None, **extensions: Any) -> Refusal:
    """The refusal named `code`; its title stands in where no detail is given. Raises `KeyError` for an unknown code."""
    kind = KINDS[code]
    return Refusal(kind, detail or kind.title, extensions)


BY_SQLSTATE: Final = {kind.sqlstate: kind for kind in KINDS.values() if kind.sqlstate}
BY_CONSTRAINT: Final = {name: kind for kind in KINDS.values() for name in kind.constraints}
