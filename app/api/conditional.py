"""Conditional reads (RFC 9110, section 13): a client that shows the `ETag` of what it knows is told if it holds.

`Cache-Control: no-store` stays on both answers, and does not contradict the `ETag`: it forbids everybody to keep a
copy, because a booking is personal data, and so no cache will ever ask conditionally. The validator is for the client
itself, which knows what it is showing, polls, and saves itself reading the same again.
"""

import json
from collections.abc import Callable
from functools import wraps
from hashlib import blake2b
from typing import Any, Final, TypeVar, cast

from flask import Response, g, request
from werkzeug.http import quote_etag

from app.api.contract import Json, documented

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
    def compared(*positional: Any, **named: Any) -> Response:
        response: Response = view(*positional, **named)
        tag = tag_of(g.answered.body)
        if request.if_none_match.contains_weak(tag):
            response = Response(status=304, headers={"Cache-Control": "no-store"})
            del response.headers["Content-Type"]  # of nothing
        response.headers["ETag"] = quote_etag(tag, weak=True)
        return response

    responses = {200: {"headers": {"ETag": _ETAG}}, 304: {"description": "Unchanged", "headers": {"ETag": _ETAG}}}
    return cast(V, documented(compared, parameters=[_IF_NONE_MATCH], responses=responses))


def tag_of(body: Json) -> str:
    """The version, to be read, and a digest of all that is told: a deadline that passes, or a payment that moves on,
    makes another answer without another version."""
    told = {name: value for name, value in body.items() if name not in PASSING}
    digest = blake2b(json.dumps(told, separators=(",", ":")).encode(), digest_size=8)
    return f"{body['version']}-{digest.hexdigest()}"
