"""The refusals of an operation as OpenAPI responses, from the one table."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from app.domain.errors import KINDS, Kind

MIMETYPE: Final = "application/problem+json"
_RETRY_AFTER: Final = {"description": "Seconds after which to try again", "schema": {"type": "integer", "minimum": 1}}
_CHALLENGE: Final = {"description": "`Bearer`", "schema": {"type": "string"}}
_ALLOW: Final = {"description": "The methods that the route has", "schema": {"type": "string"}}
HEADERS: Final[dict[int, dict[str, Any]]] = {
    401: {"WWW-Authenticate": _CHALLENGE},
    405: {"Allow": _ALLOW},
    429: {"Retry-After": _RETRY_AFTER},
    503: {"Retry-After": _RETRY_AFTER},
}
PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A definite no, by RFC 9457. After `SERVICE_UNAVAILABLE` alone the outcome is not known.",
    "required": ["type", "title", "status", "detail", "instance", "code", "error", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "Where the refusal is explained"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "For a person to read"},
        "instance": {"type": "string", "format": "uri-reference", "description": "The path that was asked for"},
        "code": {"type": "string", "enum": list(KINDS), "description": "For a program to read"},
        "error": {"type": "string", "description": "The same as `title`"},
        "request_id": {"type": "string", "description": "To be quoted when asking us about it"},
    },
}


def type_of(kind: Kind) -> str:
    """`INSUFFICIENT_SEATS` as `/errors#insufficient-seats`."""
    return _TYPES[kind.code]


_TYPES: Final = {code: f"/errors#{code.lower().replace('_', '-')}" for code in KINDS}


def responses_of(codes: Iterable[str]) -> dict[int, dict[str, Any]]:
    """By status, what each of `codes` looks like; a bug is possible everywhere."""
    by_status: defaultdict[int, list[Kind]] = defaultdict(list)
    for code in dict.fromkeys([*codes, "INTERNAL_ERROR"]):
        by_status[KINDS[code].status].append(KINDS[code])
    return {status: _response(status, kinds) for status, kinds in sorted(by_status.items())}


def _response(status: int, kinds: list[Kind]) -> dict[str, Any]:
    narrowed = {"properties": {"code": {"enum": [kind.code for kind in kinds]}, "status": {"const": status}}}
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, narrowed]}
    examples = {kind.code: {"value": example(kind)} for kind in kinds}
    headers = {"headers": HEADERS[status]} if status in HEADERS else {}
    return {
        "description": "\n".join(f"- `{kind.code}`: {kind.when}{_carried(kind)}" for kind in kinds),
        "content": {MIMETYPE: {"schema": schema, "examples": examples}},
        **headers,
    }


def _carried(kind: Kind) -> str:
    names = ", ".join(f"`{extension.name}`" for extension in kind.extensions)
    return f" (with {names})" if names else ""


def example(kind: Kind) -> dict[str, Any]:
    """A body of this refusal, with all that it may carry."""
    return {
        "type": type_of(kind),
        "title": kind.title,
        "status": kind.status,
        "detail": kind.title,
        "instance": "/api/v1/bookings",
        "code": kind.code,
        "error": kind.title,
        "request_id": "5f2b9c1e7a3d4088",
        **{extension.name: extension.example for extension in kind.extensions},
    }
