"""What is logged and measured of each request."""

import io
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client import REGISTRY
from werkzeug.test import EnvironBuilder

from app.domain.errors import refusal
from app.domain.model import Held
from app.observability import Events, configure_logging
from tests.unit.api.canned import BOOKING, BOOKING_ID, BOOKING_PATH

ORDER = {"event_id": "demo", "zone_id": "A", "quantity": 2}


def access(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """The access line of the latest request."""
    (*_, record) = [r for r in caplog.records if r.name == "holdfast.access"]
    assert isinstance(record.msg, dict)
    return record.msg


@pytest.fixture(autouse=True)
def everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_a_line_names_method_route_status_time_and_booking(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.post("/api/v1/bookings/reserve", json=ORDER)
    line = access(caplog)
    assert (line["method"], line["route"], line["status"]) == ("POST", "/api/v1/bookings/reserve", 201)
    assert line["booking_id"] == BOOKING_ID
    assert line["ms"] >= 0


def test_a_refused_request_names_the_code_and_the_booking_that_was_meant(
    client: FlaskClient, services: Any, caplog: pytest.LogCaptureFixture
) -> None:
    services.get.answer = refusal("RESERVATION_NOT_FOUND")
    client.get(f"/bookings/{BOOKING_ID}")
    assert access(caplog)["code"] == "RESERVATION_NOT_FOUND"
    assert access(caplog)["booking_id"] == BOOKING_ID
    client.get("/bookings/what the caller likes")
    assert "booking_id" not in access(caplog)


def test_a_sane_request_id_is_kept_and_any_other_replaced(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert client.get("/livez", headers={"X-Request-ID": "gate-42.a_b"}).headers["X-Request-ID"] == "gate-42.a_b"
    assert access(caplog)["request_id"] == "gate-42.a_b"
    for wild in ("", "short", "x" * 65, "new line", '{"json": 1}', "é" * 8):
        minted = client.get("/livez", headers={"X-Request-ID": wild}).headers["X-Request-ID"]
        assert minted != wild
        assert len(minted) == 16


@pytest.mark.parametrize("path", [BOOKING_PATH, f"{BOOKING_PATH}/history"], ids=["past Flask", "by Flask"])
def test_where_the_server_offers_it_all_requests_of_a_turn_are_told_at_its_end(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    of_this_turn: list[Callable[[], None]] = []
    ids = [f"request-{number}" for number in range(3)]
    for turn in range(2):
        caplog.clear()
        before = measured()
        for request_id in ids:
            environ = {
                **EnvironBuilder(path, headers={"X-User-ID": "ann", "X-Request-ID": request_id}).get_environ(),
                "serving.at_turns_end": of_this_turn.append,
            }
            b"".join(client.application(environ, lambda *_: None))
        assert not told(caplog)
        assert measured() == before
        assert len(of_this_turn) == turn + 1, "it is told once a turn"
        of_this_turn[turn]()
        assert told(caplog) == ids
        assert measured() == before + 3


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The ids of the requests of which there is a line."""
    return [r.msg["request_id"] for r in caplog.records if r.name == "holdfast.access" and isinstance(r.msg, dict)]


def measured() -> float:
    (family,) = REGISTRY.restricted_registry(["holdfast_requests_total"]).collect()
    return sum(sample.value for sample in family.samples if sample.name.endswith("_total"))


def test_neither_token_nor_query_nor_body_is_logged(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"Authorization": "Bearer swordfish"}
    client.post(f"{BOOKING_PATH}/confirm?card=swordfish", json={"payment_id": "swordfish"}, headers=headers)
    client.post(f"{BOOKING_PATH}/confirm", data='{"swordfish', headers=headers, content_type="application/json")
    assert "swordfish" not in caplog.text


def sample(client: FlaskClient, name: str) -> float:
    """The value of one time series; 0 before its first."""
    values = [line.rpartition(" ")[2] for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
    return float(values[0]) if values else 0.0


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Held(BOOKING, False, 1), "RESERVED"),
        (Held(BOOKING, True, 1), "REPLAYED"),
        (refusal("INSUFFICIENT_SEATS"), "INSUFFICIENT_SEATS"),
    ],
)
def test_reserves_are_counted_by_outcome(client: FlaskClient, services: Any, answer: Any, outcome: str) -> None:
    services.reserve.answer = answer
    series = f'holdfast_reserves_total{{code="{outcome}"}}'
    before = sample(client, series)
    client.post("/bookings/reserve", json=ORDER)
    client.post("/api/v1/bookings/reserve", json=ORDER)
    assert sample(client, series) == before + 2


def test_requests_are_counted_by_template_so_that_callers_cannot_grow_the_series(client: FlaskClient) -> None:
    series = 'holdfast_requests_total{method="GET",route="/bookings/<booking_id>",status="200"}'
    before = sample(client, series)
    for number in range(3):
        client.get(f"/bookings/{BOOKING_ID[:-1]}{number}")
        client.get(f"/nowhere/{number}")
        client.open("/livez", method=f"BREW{number}")
    assert sample(client, series) == before + 3
    text = client.get("/metrics").text
    assert "nowhere" not in text
    assert "BREW" not in text


def test_json_logs_are_one_object_a_line_and_never_hold_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json", ['pass"word', "hunter22", "short"])
    try:
        raise ValueError('postgresql://holdfast:pass"word@db or hunter22 in a shortcut')
    except ValueError:
        logging.getLogger("anybody").exception("an error of %s", "a driver")
    (line,) = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert event["event"] == "an error of a driver"
    assert "ValueError: postgresql://holdfast:[secret]@db or [secret] in a shortcut" in event["exception"]


def test_readable_logs_never_hold_a_secret_either_nor_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "text", ["hunter22"])
    local = "a variable's value"
    try:
        raise ValueError("with hunter22 inside")
    except ValueError:
        logging.getLogger("anybody").exception("an error")
    shown = capsys.readouterr().err
    assert "ValueError: with [secret] inside" in shown
    assert "hunter22" not in shown
    assert local not in shown.replace('local = "a variable\'s value"', "")


def test_a_line_is_the_same_with_and_without_a_record_of_logging() -> None:
    """Where nobody but us listens, none is made."""
    root = logging.getLogger()
    others = root.handlers
    lines = []
    for company in ([], [logging.NullHandler()]):
        root.handlers = []
        configure_logging("INFO", "json", ["hunter22"])
        (ours,) = root.handlers
        ours.setStream(io.TextIOWrapper(text := io.BytesIO(), "utf-8"))
        root.handlers = [ours, *company]
        Events("somebody").tell(logging.INFO, "told", {"whom": "käthe \ud800", "secret": "hunter22", "count": 2})
        lines.append(json.loads(text.getvalue()))
    root.handlers = others
    assert lines[0].pop("timestamp") <= lines[1].pop("timestamp")
    assert lines[0] == lines[1]
    assert lines[0] == {
        "whom": "käthe \ud800",
        "secret": "[secret]",
        "count": 2,
        "event": "told",
        "level": "info",
        "logger": "somebody",
    }
