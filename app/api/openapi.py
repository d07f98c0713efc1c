"""The OpenAPI document and what shows it: `/openapi.json`, `/docs` (no CDN), `/errors` (where a `type` leads)."""

from importlib.resources import files
from typing import Final

import flask_smorest
from flask import Blueprint, Flask, Response, redirect, send_from_directory
from werkzeug.wrappers import Response as WerkzeugResponse

from app.api import admin, bookings, catalogue, health, refusals_page, webhooks
from app.api.present import API_PREFIX
from app.api.refusals_doc import PROBLEM_SCHEMA

_ASSETS: Final = str(files("flask_swagger_ui") / "dist")
_CONFIG: Final = {
    "API_TITLE": "Holdfast",
    "API_VERSION": "1.0.0",
    "OPENAPI_VERSION": "3.1.0",
    "OPENAPI_URL_PREFIX": "/",
    "API_SPEC_OPTIONS": {
        "info": {
            "summary": "Seats that many people want at the same second",
            "description": (
                "Reserve seats (a promise with a deadline), then confirm them (a fact), release them, or let the"
                " deadline pass. Times are RFC 3339, UTC. Money is decimal strings. A refusal is"
                " `application/problem+json` with a `code`: [all codes](/errors)."
            ),
        },
        "servers": [{"url": "/"}],
    },
}
_BEARER: Final = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
_GATEWAY: Final = {
    "type": "apiKey",
    "in": "header",
    "name": "X-User-ID",
    "description": "Where a gateway before us verifies the caller",
}


class Api(flask_smorest.Api):  # type: ignore[misc]
    """flask-smorest without its own rendering and wording of errors."""

    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """Ours are in `problems`."""


def register(app: Flask) -> None:
    """Routes, documented; bookings, webhooks and health also at `/`, undocumented, for clients of the original API."""
    app.config.update(_CONFIG)
    api = Api(app)
    api.spec.components.schema("Problem", dict(PROBLEM_SCHEMA))
    api.spec.components.security_scheme("bearer", _BEARER)
    api.spec.components.security_scheme("gateway", _GATEWAY)
    for module in (bookings, catalogue, admin, webhooks, health):
        api.register_blueprint(module.blueprint, url_prefix=API_PREFIX)
    for module in (bookings, webhooks, health):
        app.register_blueprint(module.blueprint, name=f"{module.blueprint.name}_at_root", url_prefix="/")
    app.register_blueprint(_pages)


_pages: Final = Blueprint("pages", __name__)

_DOCS: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Holdfast</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "openapi.json", dom_id: "#ui", deepLinking: true, tryItOutEnabled: true})</script>
</html>
"""


@_pages.get("/docs")
def docs() -> Response:
    return Response(_DOCS, mimetype="text/html")


@_pages.get("/docs/")
def docs_with_a_slash() -> WerkzeugResponse:
    """Many type it so; relative, because a proxy may have put a prefix before it."""
    return redirect("../docs", 308)


@_pages.get("/docs/<path:name>")
def docs_asset(name: str) -> Response:
    return send_from_directory(_ASSETS, name, max_age=86_400)


@_pages.get("/errors")
def errors() -> Response:
    """Every refusal, at the anchor that its problem's `type` names."""
    return Response(refusals_page.html(), mimetype="text/html")
