"""The decorators that make up a view's contract: route, body, answer, refusals. Each also documents what it does.

This is the one module that knows flask-smorest's blueprint, which is untyped: here it gets its types.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from functools import wraps
from http import HTTPStatus
from typing import Any, Final, NoReturn, TypeVar, cast

import flask_smorest
from flask import Flask, Request, Response
from marshmallow import RAISE, Schema, ValidationError
from webargs.flaskparser import FlaskParser

from app.api import limits_doc
from app.api.asked import asked
from app.api.loading import reader, unusable
from app.api.refusals_doc import responses_of
from app.api.strict_json import text_of
from app.as_json import as_json
from app.domain.records import record

V = TypeVar("V", bound=Callable[..., Any])
Json = dict[str, Any]
OF_A_BODY: Final = ("MALFORMED_REQUEST", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "VALIDATION_ERROR")


@record(frozen=True, slots=True)
class Answer:
    """What a client gets: `body`, or `text` in its place."""

    body: Json
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    text: bytes | None = None

    def rendered(self) -> tuple[list[tuple[str, str]], bytes]:
        """As HTTP. Nothing of ours may be cached: seats change by the millisecond, bookings are private."""
        headers = [("Cache-Control", "no-store"), *self.headers.items()]
        if self.status == HTTPStatus.NOT_MODIFIED:
            return headers, b""
        text = as_json(self.body) if self.text is None else self.text
        return [("Content-Type", self.content_type), ("Content-Length", str(len(text))), *headers], text


def to_response(answer: Answer) -> Response:
    """`answer` for Flask."""
    headers, text = answer.rendered()
    response = Response(text, answer.status, headers)
    if not text:
        del response.headers["Content-Type"]  # of nothing
    return response


class StrictParser(FlaskParser):
    """webargs with our way of refusing a query."""

    def handle_error(self, error: ValidationError, req: Request, schema: Schema, **_: Any) -> NoReturn:
        by_location: dict[str, Any] = error.messages  # type: ignore[assignment]
        raise unusable(next(iter(by_location.values())))


def documented(view: V, **doc: Any) -> V:
    """`view` with `doc` merged into what the OpenAPI document says of its operation."""
    known = getattr(view, "_apidoc", {})
    view._apidoc = {**known, "manual_doc": {**known.get("manual_doc", {}), **doc}}  # type: ignore[attr-defined]
    return view


def _noted(note: Callable[[V], V], view: V) -> V:
    """`view` with what flask-smorest's decorator `note` says of it. What `note` wraps around the view is left out: it
    would look at each request whether the view is a coroutine, and ask webargs to read what we have read."""
    view._apidoc = note(view)._apidoc  # type: ignore[attr-defined]
    return view


def refuses(*codes: str) -> Callable[[V], V]:
    """Documents refusals, by the names of the table. It changes nothing at run time: whoever refuses, raises."""

    def decorate(view: V) -> V:
        known = getattr(view, "_apidoc", {})
        view._apidoc = {**known, "refusals": (*codes, *known.get("refusals", ()))}  # type: ignore[attr-defined]
        return view

    return decorate


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """A group of routes. Everything that a view must not do itself is a decorator of it."""

    ARGUMENTS_PARSER = StrictParser()

    def __init__(self, name: str, description: str) -> None:
        super().__init__(name, f"app.api.{name}", description=description)
        self.views: dict[str, Callable[..., Answer]] = {}
        """By operation; each answers without Flask's knowledge, within an `Asked`."""
        self._prepare_doc_cbks.append(self._document_refusals)

    def route(
        self, method: str, rule: str, *, operation: str | None = None, parameters: Sequence[Json] = ()
    ) -> Callable[[V], V]:
        """Serves `method` of `rule`; `operation` is the operation's id, the view's name unless given."""

        def decorate(view: V) -> V:
            endpoint = operation or view.__name__

            @wraps(view)
            def respond(**named: Any) -> Response:
                return to_response(view(**named))

            self.views[endpoint] = view
            self.add_url_rule(rule, endpoint, respond, methods=[method], parameters=[dict(p) for p in parameters])
            self._docs[endpoint][method.lower()].setdefault("manual_doc", {})["operationId"] = endpoint
            return view

        return decorate

    def takes(self, schema: type[Schema], *, required: bool = True) -> Callable[[V], V]:
        """Gives the view what `schema` loads from the body, as its first argument."""

        # One instance for all requests: given the class, webargs would make one for each.
        instance = schema()
        read = reader(instance)

        def decorate(view: V) -> V:
            @wraps(view)
            def loaded(*positional: Any, **named: Any) -> Any:
                return view(*positional, read(text_of(asked())), **named)

            return refuses(*OF_A_BODY)(_noted(self.arguments(instance, required=required), cast(V, loaded)))

        return decorate

    def asks(self, schema: type[Schema]) -> Callable[[V], V]:
        """Gives the view what `schema` loads from the query, as its first argument."""
        instance = schema()

        def decorate(view: V) -> V:
            loaded: V = self.arguments(instance, location="query", unknown=RAISE)(view)
            return refuses("VALIDATION_ERROR")(loaded)

        return decorate

    def answers(
        self, present: Callable[[Any], Answer], schemas: Mapping[int, type[Schema]], *headers: str
    ) -> Callable[[V], V]:
        """Turns what the view returns into an answer by `present`; documents each status with its schema."""

        def decorate(view: V) -> V:
            @wraps(view)
            def answered(*positional: Any, **named: Any) -> Answer:
                asked().answered = answer = present(view(*positional, **named))
                return answer

            documented_headers = {name: _HEADERS[name] for name in headers} or None
            for status, schema in schemas.items():
                _noted(
                    self.alt_response(status, schema=schema, headers=documented_headers, success=True),
                    cast(V, answered),
                )
            return cast(V, answered)

        return decorate

    def _document_refusals(self, doc: Json, doc_info: Json, app: Flask, **_: Any) -> Json:
        """Called by flask-smorest when it writes the operation down. Replaces its own words about refusals."""
        limited = app.config["RATE_LIMITED"] and self.name in limits_doc.LIMITED
        codes = (*doc_info.get("refusals", ()), *(["RATE_LIMITED"] if limited else []))
        responses = doc.setdefault("responses", {})
        responses.update(responses_of(codes))
        if limited:
            limits_doc.add_headers(responses)
        return doc


_HEADERS: Final[Mapping[str, Json]] = {
    "Location": {"description": "Where the booking is", "schema": {"type": "string", "format": "uri-reference"}},
    "Idempotency-Replayed": {
        "description": "`true` where the answer repeats that of an earlier request with the same key",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
