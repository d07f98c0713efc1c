"""The idempotency key: one of two headers, or a member of the body. All that are given must be the same."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar, cast

from app.api.asked import asked
from app.api.contract import documented, refuses
from app.domain.errors import refusal
from app.domain.model import Order

HEADERS: Final = ("Idempotency-Key", "X-Idempotency-Key")
_FIRST, _SECOND = (f"HTTP_{name.upper().replace('-', '_')}" for name in HEADERS)
PATTERN: Final = "^[\\x21-\\x7e]{1,255}$"
_VISIBLE_ASCII: Final = re.compile(r"[\x21-\x7e]{1,255}")
_PARAMETERS: Final = [
    {
        "in": "header",
        "name": name,
        "description": "Makes a retry safe: 1 to 255 visible ASCII characters, the same for every try",
        "schema": {"type": "string", "pattern": PATTERN},
        "example": "order-4711-1",
    }
    for name in HEADERS
]
V = TypeVar("V", bound=Callable[..., Any])


def checked(key: object) -> str:
    """`key` itself. Raises `IDEMPOTENCY_KEY_INVALID` unless it is 1 to 255 visible ASCII characters."""
    if isinstance(key, str) and _VISIBLE_ASCII.fullmatch(key):
        return key
    raise refusal("IDEMPOTENCY_KEY_INVALID", "An idempotency key has 1 to 255 visible ASCII characters")


def agreed(*given: str | None) -> str | None:
    """The one key among those that are given; None where there is none. Raises `IDEMPOTENCY_KEY_INVALID`."""
    found = None
    for key in given:
        if key is not None and key != found:
            checked(key)
            if found is not None:
                raise refusal("IDEMPOTENCY_KEY_INVALID", "Two idempotency keys that differ")
            found = key
    return found


def keyed(view: V) -> V:
    """Gives the view an order that carries the key, wherever the client put it."""

    @wraps(view)
    def with_key(order: Order, **arguments: Any) -> Any:
        environ = asked().environ
        key = agreed(order.idempotency_key, environ.get(_FIRST), environ.get(_SECOND))
        return view(order.under(key), **arguments)

    return cast(V, _documented(with_key))


def key_in_header(view: V) -> V:
    """Gives the view the `key` of the headers, None without one."""

    @wraps(view)
    def with_key(*positional: Any, **named: Any) -> Any:
        return view(*positional, key=_of_headers(), **named)

    return cast(V, _documented(with_key))


def key_not_needed(view: V) -> V:
    """For a verb that is idempotent by its nature: a key is checked, so that a mistake shows, and changes nothing."""

    @wraps(view)
    def without_key(*positional: Any, **named: Any) -> Any:
        _of_headers()
        return view(*positional, **named)

    return cast(V, _documented(without_key))


def _of_headers() -> str | None:
    environ = asked().environ
    return agreed(environ.get(_FIRST), environ.get(_SECOND))


def _documented(view: Callable[..., Any]) -> Any:
    return refuses("IDEMPOTENCY_KEY_INVALID")(documented(view, parameters=_PARAMETERS))
