"""Conditional reads (RFC 9110, section 13): a client that shows the `ETag` of what it knows is told if it holds.

`Cache-Control: no-store` stays on both answers, and does not contradict the `ETag`: it forbids everybody to keep a
copy, because a booking is personal data, and so no cache will ever ask conditionally. The validator is for the client
itself, which knows what it is showing, polls, and saves itself reading the same again.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from hashlib import blake2b
from typing import Any, Final, TypeVar, cast

from werkzeug.http import parse_etags, quote_etag

from app.api.asked import asked
from app.api.contract import Answer, Json, documented
from app.as_json import as_json

V = TypeVar("V", bound=Callable[..., Any])
PASSING: Final = frozenset(("expires_in",))
"""Members that change with the clock alone. That makes the validator weak: the same booking, not the same bytes."""
_ETAG: Final = {
    "description": "Changes whenever the booking does; `expires_in` does not count",
    "schema": {"type": "string"},
    "example": 'W/"1-5f0d1b8e9c7a6243"',
}
_IF_NONE_MATCH: Final = {
    "in": "header",
    "name": "If-None-Match",
    "description": "The `ETag` of what the caller knows: 304, without a body, while it still holds",
    "schema": {"type": "string"},
    "example": 'W/"1-5f0d1b8e9c7a6243"',
}


def conditional(view: V) -> V:
    """Gives the answer its `ETag`, or 304 in its place. Comes right above `answers`."""

    @wraps(view)
    def compared(*positional: Any, **named: Any) -> Answer:
        answer: Answer = view(*positional, **named)
        tag = tag_of(answer.body)
        headers = {**answer.headers, "ETag": quote_etag(tag, weak=True)}
        known = asked().environ.get("HTTP_IF_NONE_MATCH")
        unchanged = known is not None and parse_etags(known).contains_weak(tag)
        return replace(answer, status=304 if unchanged else answer.status, headers=headers)

    responses = {200: {"headers": {"ETag": _ETAG}}, 304: {"description": "Unchanged", "headers": {"ETag": _ETAG}}}
    return cast(V, documented(compared, parameters=[_IF_NONE_MATCH], responses=responses))


def tag_of(body: Json) -> str:
    """The version, to be read, and a digest of all that is told: a deadline that passes, or a payment that moves on,
    makes another answer without another version."""
    told = {name: value for name, value in body.items() if name not in PASSING}
    digest = blake2b(as_json(told), digest_size=8)
    return f"{body['version']}-{digest.hexdigest()}"
