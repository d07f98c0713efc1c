"""What surrounds a sale: sold out, a retry, a look, a release; each beside reserve in the same run."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from app.domain.model import Order
from app.settings import Settings
from app.wiring import Wiring, build_worker
from bench import requests
from bench.measure import Plan, Row, Subject, in_turns
from bench.requests import LINE, N, Request
from bench.reserve import PATH, order, reserving
from bench.system import System

_BOOKINGS: Final = "/api/v1/bookings"
_KNOWN: Final = 500
"""Bookings that are replayed and looked at, in turn."""


def run(system: System, plan: Plan, say: Callable[[str], None]) -> list[Row]:
    """The closed loop for each of them by turns, with what Postgres does of it."""
    say("reserve, sold out, replay, get, release")
    event = system.open_event(f"verbs-{time.time_ns()}", max_per_user=2**31 - 1)
    full = system.open_event(f"full-{time.time_ns()}", capacity=1)
    system.ask("POST", "/bookings/reserve", order(full))
    web = system.stack.web
    roots = system.roots(web, "redis", "postgres", "worker", "broker")
    shop = build_worker(Settings.from_environment(system.stack.settings))
    shop.start()
    try:
        known = _reserved(shop, event, _KNOWN, keyed=True)
        own = {"X-User-ID": "holder"}
        keys = [f"key-{n:06}" for n in range(_KNOWN)]
        replay = requests.of("POST", PATH, {**own, "Idempotency-Key": LINE}, order(event), keys)

        def ending(count: int) -> Request:
            """Each release needs a reservation of its own; those of the run before are used up."""
            fresh = _reserved(shop, event, count)
            system.drain()
            return requests.of("DELETE", f"{_BOOKINGS}/{LINE}", own, lines=fresh)

        def subject(name: str, request: Request, expects: int, **more: Any) -> Subject:
            return Subject(name, web.base_url, request, roots, expects, settle=system.drain, **more)

        return in_turns(
            [
                subject("reserve", reserving(event), 201),
                subject("sold out", requests.of("POST", PATH, {"X-User-ID": f"buyer-{N}"}, order(full)), 409),
                subject("replay", replay, 201),
                subject("get", requests.of("GET", f"{_BOOKINGS}/{LINE}", own, lines=known), 200),
                subject("release", reserving(event), 200, renew=ending),
            ],
            plan,
        )
    finally:
        shop.close()


def _reserved(shop: Wiring, event: str, count: int, keyed: bool = False) -> list[str]:
    """Booking ids of fresh reservations of `holder`."""
    fields: list[Mapping[str, Any]] = [{"idempotency_key": f"key-{n:06}"} if keyed else {} for n in range(count)]
    return [shop.reserve("holder", Order(event, "A", 1, **more)).booking.booking_id for more in fields]
