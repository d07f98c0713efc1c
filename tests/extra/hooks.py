"""Where the generator does on purpose what we refuse on purpose, its requests are bent, each for a reason."""

import itertools
import os
import re
import uuid
from typing import Any, Final

import httpx
import schemathesis
from schemathesis import GenerationMode
from schemathesis.generation.meta import TestPhase

from app.api import idempotency

EVENT: Final = {"name": "Demo", "hold_seconds": 600, "hold_seconds_max": 100_000, "max_per_user": 2**31 - 1}
ZONE: Final = {"name": "A", "capacity": 2**31 - 1, "price_minor": 15_000, "currency": "EUR"}
_KEY: Final = re.compile(idempotency.PATTERN)
_FRESH: Final = len(uuid.uuid4().hex)
_SOME: Final = 2**30
_turns: Final = itertools.count()
_admin = httpx.Client(base_url=os.environ["API"], headers={"Authorization": f"Bearer {os.environ['TOKEN']}"})


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if isinstance(case.body, dict):
        case.body = _without_whole_floats(case.body)
        if case.operation.label == "POST /api/v1/bookings/reserve":
            _put_on_sale()
            _want_what_there_is(case.body)
    if "booking_id" in (case.path_parameters or {}) and case.meta.phase.name is not TestPhase.STATEFUL:
        _ask_about_what_there_is(case.path_parameters)
    _agree(case)


def _without_whole_floats(value: Any) -> Any:
    """7.0 is an integer to JSON Schema. To us it is not: what two parsers could understand differently is refused."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {name: _without_whole_floats(member) for name, member in value.items()}
        case _:
            return value


def _agree(case: Any) -> None:
    """A key stands for one request, and has one value wherever it is sent. What is no key stays what it is."""
    headers = case.headers or {}
    body = case.body if isinstance(case.body, dict) else {}
    places = [(where, name) for where in (headers, body) for name in where if _names_a_key(name)]
    given = [where[name] for where, name in places]
    if given and all(isinstance(key, str) and _KEY.search(key) for key in given):
        key = given[0][: 255 - _FRESH] + uuid.uuid4().hex
        for where, name in places:
            where[name] = key


def _names_a_key(name: str) -> bool:
    return name.lower().replace("_", "-") in ("idempotency-key", "x-idempotency-key")


def _put_on_sale() -> None:
    """Other requests have closed the sale, or changed its price: nobody would ever get as far as confirm."""
    for path, terms in (("demo", EVENT), ("demo/zones/A", ZONE)):
        answer = _admin.put(f"/admin/events/{path}", json=terms)
        assert answer.status_code in (200, 201), answer.text


def _want_what_there_is(order: dict[str, Any]) -> None:
    """As many seats as one may have, and mostly at whatever price; the largest quantities stay what they are."""
    quantity = order.get("quantity")
    if isinstance(quantity, int) and quantity < _SOME:
        order["quantity"] = quantity % 10 + 1
        if quantity % 4:
            order.pop("unit_price", None)


def _ask_about_what_there_is(parameters: dict[str, Any]) -> None:
    """Every other time a fresh reservation: nobody makes up an id that is one."""
    if next(_turns) % 2:
        _put_on_sale()
        answer = _admin.post("/bookings/reserve", json={"event_id": "demo", "zone_id": "A", "quantity": 1})
        assert answer.status_code == 201, answer.text
        parameters["booking_id"] = answer.json()["booking_id"]
