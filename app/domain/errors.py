"""The one table of refusals: what each is called on every floor, and how it travels over HTTP.

A refusal has one name. It is the `code` of the problem+json answer, the first element of a Lua reply, the outcome
of a PL/pgSQL function or, where a function or a constraint raises, the SQLSTATE or the constraint listed here.
Errors on the wire follow RFC 9457.
"""

from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table.

    `sqlstate` is of our own class `SE` (implementation-defined by the SQL standard: it begins with S);
    `constraints` are names of check constraints in schema `booking` whose violation means this refusal.
    """

    code: str
    status: int
    title: str
    when: str
    sqlstate: str | None = None
    constraints: tuple[str, ...] = ()


def _table(*kinds: Kind) -> dict[str, Kind]:
    return {kind.code: kind for kind in kinds}


KINDS: Final = _table(
    Kind(
        "INSUFFICIENT_SEATS",
        409,
        "Not enough seats available",
        "fewer seats are available than asked for; `available` tells how many",
        constraints=("zones_never_oversold",),
    ),
    Kind(
        "MAX_TICKETS_EXCEEDED",
        409,
        "Ticket limit exceeded",
        "the user's limit for the event would be passed, held and confirmed together; `limit` and `taken` tell",
        constraints=("user_seats_within_limit",),
    ),
    Kind("PRICE_CHANGED", 409, "Price changed", "`unit_price` differs from today's; `current_price` tells"),
    Kind("SALE_CLOSED", 409, "Sale closed", "before `opens_at` or from `closes_at` on"),
    Kind(
        "CAPACITY_IN_USE",
        409,
        "Capacity in use",
        "a capacity below what is sold and held, or another cut of the same zone is under way",
        sqlstate="SE409",
    ),
    Kind(
        "CONFIRMATION_IN_PROGRESS",
        409,
        "Confirmation in progress",
        "release, extend or another payment while a confirmation of the same reservation is under way",
    ),
    Kind("HOLD_LIMIT_REACHED", 409, "Hold limit reached", "the reservation cannot be extended any further"),
    Kind(
        "ALREADY_CONFIRMED",
        409,
        "Already confirmed",
        "release of a confirmed booking, or confirm again with another payment",
    ),
    Kind("EVENT_NOT_FOUND", 404, "Event not found", "no such event", sqlstate="SE404"),
    Kind("ZONE_NOT_FOUND", 404, "Zone not found", "no such zone in this event"),
    Kind(
        "RESERVATION_NOT_FOUND",
        404,
        "Reservation not found",
        "unknown, malformed id, another's, released, expired or cancelled; `reason` says which, if the caller may know",
    ),
    Kind(
        "IDEMPOTENCY_KEY_INVALID",
        400,
        "Idempotency key invalid",
        "not 1 to 255 visible ASCII characters, or two keys that differ",
    ),
    Kind(
        "IDEMPOTENCY_KEY_REUSED",
        422,
        "Idempotency key reused",
        "the key came before with another payload",
    ),
    Kind(
        "VALIDATION_ERROR", 422, "Validation failed", "a field is missing, unknown or out of range; `errors` by field"
    ),
    Kind("MALFORMED_REQUEST", 400, "Malformed request", "the body is not JSON, or the request cannot be read"),
    Kind("PAYMENT_DECLINED", 402, "Payment declined", "the reservation stands until its deadline: try another card"),
    Kind("UNAUTHORIZED", 401, "Unauthorized", "no identity, or one that cannot be verified"),
    Kind("FORBIDDEN", 403, "Forbidden", "the identity may not do this"),
    Kind("NOT_FOUND", 404, "Not found", "no such route"),
    Kind("METHOD_NOT_ALLOWED", 405, "Method not allowed", "the route exists, with other methods; `Allow` lists them"),
    Kind("PAYLOAD_TOO_LARGE", 413, "Payload too large", "the body is larger than `MAX_BODY_BYTES`"),
    Kind("UNSUPPORTED_MEDIA_TYPE", 415, "Unsupported media type", "the body is not `application/json`"),
    Kind("RATE_LIMITED", 429, "Rate limited", "too many requests from this client; `Retry-After` tells when"),
    Kind(
        "SERVICE_UNAVAILABLE",
        503,
        "Service unavailable",
        "Redis or Postgres down, slow, frozen for rebuild, or overloaded; always with `Retry-After`",
    ),
    Kind("INTERNAL_ERROR", 500, "Internal error", "a bug; carries the request id, never a traceback"),
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
