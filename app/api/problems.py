"""The one place where a refusal becomes HTTP: problem+json (RFC 9457). Anything else is a bug: 500, logged whole."""

import json
import logging
from typing import Any, Final
from urllib.parse import quote

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from app.api.refusals_doc import MIMETYPE, type_of
from app.api.request_log import request_id
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
    app.register_error_handler(Refusal, render)
    app.register_error_handler(HTTPException, _of_framework)
    app.register_error_handler(Exception, _of_bug)


def render(refused: Refusal) -> Response:
    """`refused` as an answer, with the headers that its status asks for."""
    g.refused = refused  # for the log and the metrics of this request
    text = json.dumps(document(refused, request.path, request_id()), separators=(",", ":"))
    response = Response(text, refused.kind.status, mimetype=MIMETYPE)
    response.headers["Cache-Control"] = "no-store"
    response.headers.extend(_headers(refused.kind.status))
    return response


def document(refused: Refusal, path: str, request_id: str) -> dict[str, Any]:
    """The problem document of `refused`, for whoever answers before there is a request of Flask's as well."""
    kind = refused.kind
    core = {
        "type": type_of(kind),
        "title": kind.title,
        "status": kind.status,
        "detail": refused.detail,
        "instance": quote(path),
        "code": kind.code,
        "error": kind.title,
        "request_id": request_id,
    }
    return {**core, **{name: value for name, value in refused.extensions.items() if name not in core}}


def _headers(status: int) -> dict[str, str]:
    match status:
        case 401:
            return {"WWW-Authenticate": "Bearer"}
        case 429 | 503:
            return {"Retry-After": str(current_app.config["RETRY_AFTER_SECONDS"])}
        case _:
            return {}


def _of_framework(error: HTTPException) -> Any:
    """What werkzeug refuses before a view is reached, by the names of our table."""
    status = error.code or 500
    if status < 400:
        return error
    if status >= 500 and status not in _BY_STATUS:
        return _of_bug(error)
    response = render(refusal(_BY_STATUS.get(status, "MALFORMED_REQUEST")))
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _of_bug(error: Exception) -> Response:
    log.error("a bug answered 500", exc_info=error)
    return render(refusal("INTERNAL_ERROR", "This is a bug of ours; the request id finds it in the log"))
