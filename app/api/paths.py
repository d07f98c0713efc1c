"""Ids in the path. What cannot be an id names nothing; where one is about to be created, it is said so."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar, cast

from app.api.contract import Json, refuses
from app.api.fields import ID_PATTERN, Id
from app.domain.errors import Refusal, refusal
from app.domain.ids import is_booking_id, is_id

V = TypeVar("V", bound=Callable[..., Any])


def _parameter(name: str, description: str, example: str, **schema: Any) -> Json:
    return {"in": "path", "name": name, "description": description, "example": example, "schema": schema}


EVENT: Final = _parameter("event_id", "The event", "demo", type="string", pattern=ID_PATTERN)
ZONE: Final = _parameter("zone_id", "The zone of that event", "A", type="string", pattern=ID_PATTERN)
BOOKING: Final = _parameter(
    "booking_id", "As reserve answered it", "0198f3a2-7c41-8007-9d2e-5b1f0a6c3e84", type="string"
)


_RULES: Final[dict[str, Callable[[str], bool]]] = {"event_id": is_id, "zone_id": is_id, "booking_id": is_booking_id}


def _unknown(name: str) -> Refusal:
    match name:
        case "event_id":
            return refusal("EVENT_NOT_FOUND")
        case "zone_id":
            return refusal("ZONE_NOT_FOUND")
        case _:
            return refusal("RESERVATION_NOT_FOUND", reason="unknown")


def _invalid(name: str) -> Refusal:
    return refusal("VALIDATION_ERROR", "The path holds what is no id", errors={name: [Id.wrong]})


def _checked(refused: Callable[[str], Refusal]) -> Callable[[V], V]:
    def decorate(view: V) -> V:
        @wraps(view)
        def with_ids(*positional: Any, **named: Any) -> Any:
            for name, is_one in _RULES.items():
                if name in named and not is_one(named[name]):
                    raise refused(name)
            return view(*positional, **named)

        return cast(V, with_ids)

    return decorate


def known_ids(view: V) -> V:
    """For a view of what exists: what is no id names nothing, and no store is asked."""
    return _checked(_unknown)(view)


def new_ids(view: V) -> V:
    """For a view that creates: what is no id is a mistake of the caller. Comes before the body is read."""
    return refuses("VALIDATION_ERROR")(_checked(_invalid)(view))
