"""The pages for a client's author know every route."""

import re
from typing import Any

from flask.testing import FlaskClient

from tests.support import pages


def _routes(document: Any) -> set[tuple[str, str]]:
    return {
        (method.upper(), path) for path, item in document["paths"].items() for method in item if method != "parameters"
    }


def _meets(route: tuple[str, str], call: tuple[str, str]) -> bool:
    pattern = re.sub(r"\{\w+\}", r"[^/]+", route[1])
    # `reserve` and `summary` are no ids: whoever has a line of its own is met by its own line only.
    return route[0] == call[0] and re.fullmatch(pattern, call[1]) is not None


def test_every_route_has_its_line_of_curl_and_every_line_its_route(client: FlaskClient) -> None:
    routes = _routes(client.get("/openapi.json").json)
    calls = pages.calls("api-by-curl.md")
    literal = {call for call in calls if call in routes}
    without_line = {r for r in routes if r not in literal and not any(_meets(r, c) for c in calls if c not in literal)}
    assert not without_line
    assert not [call for call in calls if not any(_meets(route, call) for route in routes)]


def test_the_quickstart_asks_only_for_routes_that_there_are(client: FlaskClient) -> None:
    routes = _routes(client.get("/openapi.json").json)
    assert all(any(_meets(route, call) for route in routes) for call in pages.calls("quickstart.md"))
