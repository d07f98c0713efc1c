"""What a rate limit adds to the OpenAPI document, where there is one."""

from typing import Any, Final

LIMITED: Final = ("bookings", "events")
"""The blueprints whose routes are limited: /admin is for who runs this, /livez and its like for what watches it."""


def _field(description: str, example: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}, "example": example}


_HEADERS: Final = {
    "RateLimit-Policy": _field("`q` requests at once, and all of them again after `w` seconds", '"client";q=60;w=30'),
    "RateLimit": _field("`r` requests are left now, and all of them again in `t` seconds", '"client";r=59;t=1'),
}


def add_headers(responses: dict[Any, dict[str, Any]]) -> None:
    """To each success and to the 429."""
    for status, response in responses.items():
        if int(status) < 400 or int(status) == 429:
            response["headers"] = {**response.get("headers", {}), **_HEADERS}
