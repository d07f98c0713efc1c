"""The OpenAPI document: valid, complete, and true."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from app.domain.errors import KINDS
from app.domain.model import Held
from tests.unit.api.canned import AT_MS, BOOKING, BOOKING_ID

EVERYWHERE = {"NOT_FOUND", "METHOD_NOT_ALLOWED", "INTERNAL_ERROR"}
ROUTES = {
    ("post", "/api/v1/bookings/reserve"),
    ("post", "/api/v1/bookings/{booking_id}/confirm"),
    ("post", "/api/v1/bookings/{booking_id}/release"),
    ("delete", "/api/v1/bookings/{booking_id}"),
    ("get", "/api/v1/bookings/{booking_id}"),
    ("post", "/api/v1/bookings/{booking_id}/cancel"),
    ("post", "/api/v1/bookings/{booking_id}/extend"),
    ("get", "/api/v1/bookings/{booking_id}/history"),
    ("get", "/api/v1/bookings"),
    ("get", "/api/v1/bookings/summary"),
    ("post", "/api/v1/webhooks/payments"),
    ("post", "/api/v1/webhooks/stripe"),
    ("get", "/api/v1/admin/inventory"),
    ("post", "/api/v1/admin/reconcile"),
    ("get", "/api/v1/events"),
    ("get", "/api/v1/events/{event_id}"),
    ("get", "/api/v1/events/{event_id}/zones"),
    ("get", "/api/v1/events/{event_id}/zones/{zone_id}"),
    ("put", "/api/v1/admin/events/{event_id}"),
    ("put", "/api/v1/admin/events/{event_id}/zones/{zone_id}"),
    ("get", "/api/v1/health"),
    ("get", "/api/v1/livez"),
    ("get", "/api/v1/readyz"),
    ("get", "/api/v1/metrics"),
}


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    spec = client.get("/openapi.json").json
    assert isinstance(spec, dict)
    return spec


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield method, path, operation


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """A validator of `schema` that finds the document's components."""
    return Draft202012Validator({**schema, "components": document["components"]})


def test_it_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_it_describes_exactly_the_routes_under_api_v1(document: dict[str, Any]) -> None:
    assert {(method, path) for method, path, _ in operations(document)} == ROUTES


def test_every_operation_has_its_own_id_a_summary_and_a_success(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    for _, _, operation in operations(document):
        assert operation["summary"]
        assert {"200", "201"} & set(operation["responses"])
        assert "default" not in operation["responses"]


def test_every_refusal_is_a_problem_whose_codes_are_those_of_its_status(document: dict[str, Any]) -> None:
    for _, _, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) < 400:
                continue
            ((mimetype, content),) = response["content"].items()
            assert mimetype == "application/problem+json"
            codes = content["schema"]["allOf"][1]["properties"]["code"]["enum"]
            assert {str(KINDS[code].status) for code in codes} == {status}
            validator = resolved(document, content["schema"])
            for code in codes:
                validator.validate(content["examples"][code]["value"])


def test_the_problem_schema_knows_the_whole_table(document: dict[str, Any]) -> None:
    assert document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == list(KINDS)


def test_reserve_documents_what_reserve_may_refuse(document: dict[str, Any]) -> None:
    responses = document["paths"]["/api/v1/bookings/reserve"]["post"]["responses"]
    assert set(responses) == {"201", "400", "401", "404", "409", "413", "415", "422", "500", "503"}
    assert set(responses["503"]["headers"]) == {"Retry-After"}
    parameters = document["paths"]["/api/v1/bookings/reserve"]["post"]["parameters"]
    assert {p["name"] for p in parameters} == {"Idempotency-Key", "X-Idempotency-Key"}
    assert set(responses["201"]["headers"]) == {"Location", "Idempotency-Replayed"}


def test_whoever_needs_an_identity_says_which(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        security = operation.get("security", [])
        if "/bookings" in path:
            assert security == [{"bearer": []}, {"gateway": []}]
        elif "/admin" in path:
            assert security == [{"bearer": []}]
        else:
            assert security == []


def test_the_examples_of_each_schema_make_a_valid_instance(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        members = schema.get("properties", {})
        instance = {member: spec["examples"][0] for member, spec in members.items() if "examples" in spec}
        if set(schema.get("required", ())) <= set(instance) and name != "Problem":
            resolved(document, schema).validate(instance)


CONFIRMED = replace(BOOKING, status="confirmed", confirmed_at_ms=AT_MS, confirmation_code="K7PW2M9Q", payment_id="p")
EXPIRED = replace(BOOKING, status="expired", ended_at_ms=AT_MS, cause="deadline")


@pytest.mark.parametrize("booking", [BOOKING, CONFIRMED, EXPIRED])
def test_every_answer_has_the_documented_members_and_no_other(
    make_app: Any, services: Any, document: dict[str, Any], booking: Any
) -> None:
    services.reserve.answer = Held(BOOKING, True, 1)
    services.confirm.answer = CONFIRMED
    services.get.answer = booking
    client = make_app().test_client()
    headers = {"X-User-ID": "ann", "Authorization": "Bearer an-administrators-token"}
    bodies = {
        "/api/v1/bookings/reserve": {"event_id": "demo", "zone_id": "A", "quantity": 2},
        "/api/v1/admin/events/{event_id}": {"name": "Demo", "opens_at": "2026-08-01T08:00:00Z"},
        "/api/v1/admin/events/{event_id}/zones/{zone_id}": {"capacity": 1, "price_minor": 1, "currency": "EUR"},
    }
    for method, path, operation in operations(document):
        if path.endswith("/metrics"):
            continue
        concrete = path.format(booking_id=BOOKING_ID, event_id="demo", zone_id="A")
        concrete += "?event_id=demo" if path.endswith("/summary") else ""
        answer = client.open(concrete, method=method.upper(), json=bodies.get(path), headers=headers)
        schema = operation["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
        resolved(document, schema).validate(answer.json)
        name = schema["$ref"].rpartition("/")[2]
        assert set(answer.json) <= set(document["components"]["schemas"][name]["properties"])


def test_swagger_ui_is_served_from_here_alone(client: FlaskClient) -> None:
    page = client.get("/docs").text
    assert "http" not in page
    for asset in ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"):
        assert f"docs/{asset}" in page
        assert client.get(f"/docs/{asset}").status_code == 200
    assert client.get("/docs/../__init__.py").status_code == 404


def test_docs_with_a_slash_leads_to_docs_behind_any_prefix(client: FlaskClient) -> None:
    answer = client.get("/docs/")
    assert (answer.status_code, answer.headers["Location"]) == (308, "../docs")
