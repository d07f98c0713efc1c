"""The one place where a refusal becomes HTTP: problem+json (RFC 9457). Anything else is a bug: 500, logged whole."""

import logging
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

from flask import Flask
from werkzeug.exceptions import HTTPException

from app.api.asked import Asked, asked
from app.api.contract import Answer, to_response
from app.api.refusals_doc import MIMETYPE, type_of
from app.domain.errors import Refusal, refusal

log = logging.getLogger(__name__)
_BY_STATUS: Final = {
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "RATE_LIMITED",
    503: "SERVICE_UNAVAILABLE",
}


def register(app: Flask) -> None:
    for kind in (Refusal, HTTPException, Exception):
        app.register_error_handler(kind, _respond)


def answer_to(error: Exception, asked: Asked) -> Answer:
    """What a client gets for whatever ended its request: a refusal of ours, one of werkzeug's by the names of our
    table, or a bug."""
    match error:
        case Refusal():
            return _rendered(error, asked)
        case HTTPException(code=int(status)) if status < 500 or status in _BY_STATUS:
            allowed = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
            return _rendered(refusal(_BY_STATUS.get(status, "MALFORMED_REQUEST")), asked, allowed)
        case _:
            log.error("a bug answered 500", exc_info=error)
            return _rendered(
                refusal("INTERNAL_ERROR", "This is a bug of ours; the request id finds it in the log"), asked
            )


def _rendered(refused: Refusal, asked: Asked, headers: Mapping[str, str] = MappingProxyType({})) -> Answer:
    asked.refused = refused.kind  # for the log and the metrics of this request
    status = refused.kind.status
    body = document(refused, asked.path, asked.request_id)
    return Answer(body, status, {**_headers(status, asked.app), **headers}, MIMETYPE)


def document(refused: Refusal, path: str, request_id: str) -> dict[str, Any]:
    """The problem document of `refused`, for whoever answers before there is a request of Flask's as well."""
    kind = refused.kind
    members = {
        "type": type_of(kind),
        "title": kind.title,
        "status": kind.status,
        "detail": refused.detail,
        "instance": _quoted(path),
        "code": kind.code,
        "error": kind.title,
        "request_id": request_id,
    }
    for name, value in refused.extensions.items():
        members.setdefault(name, value)
    return members


_quoted: Final = lru_cache(maxsize=1024)(quote)


def _headers(status: int, app: Flask) -> dict[str, str]:
    match status:
        case 401:
            return {"WWW-Authenticate": "Bearer"}
        case 429 | 503:
            return {"Retry-After": str(app.config["RETRY_AFTER_SECONDS"])}
        case _:
            return {}


def _respond(error: Exception) -> Any:
    """For Flask. A redirect of werkzeug's stays one."""
    if isinstance(error, HTTPException) and error.code is not None and error.code < 400:
        return error
    return to_response(answer_to(error, asked()))
