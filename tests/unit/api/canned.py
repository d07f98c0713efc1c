"""Services that answer what a test tells them to, and remember what they were asked."""

from dataclasses import replace
from typing import Any

from app.domain.model import Booking, Event, Extended, Held, Seats, Stock, Transition, Zone
from app.services.availability import OnSale
from app.services.history import Past
from app.services.inventory import Compared
from app.services.list_bookings import Page
from app.services.reconcile import Finding, Report
from app.services.summary import Count

SECRET = "0123456789abcdef0123456789abcdef"
ENVIRONMENT = {
    "APP_ENV": "development",
    "DATABASE_URL": "postgresql://nobody:hunter22@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1",
    "AUTH_MODE": "gateway",
    "ADMIN_TOKEN": "an-administrators-token",
}
BOOKING_ID = "0198f3a2-7c41-8007-9d2e-5b1f0a6c3e84"
BOOKING_PATH = f"/bookings/{BOOKING_ID}"
AT_MS = 1_785_571_200_123  # 2026-08-01T08:00:00.123Z
BOOKING = Booking(
    booking_id=BOOKING_ID,
    event_id="demo",
    zone_id="A",
    user_id="ann",
    quantity=2,
    unit_price_minor=15_000,
    currency="EUR",
    status="reserved",
    reserved_at_ms=AT_MS,
    deadline_ms=AT_MS + 600_000,
)
ON_SALE = OnSale(
    Zone(event_id="demo", zone_id="A", name="Stalls", capacity=10, price_minor=15_000, currency="EUR"),
    Seats(capacity=10, confirmed=3, held=2, available=5),
)


class Verb:
    """Answers what it is told to, or raises it; remembers its arguments."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    def __call__(self, *arguments: Any) -> Any:
        self.asked.append(arguments)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Services:
    def __init__(self) -> None:
        event = (Event(event_id="demo", name="Holdfast live"), [ON_SALE])
        self.reserve = Verb(Held(BOOKING, replayed=False, expires_in_ms=599_999))
        self.confirm = Verb(replace(BOOKING, status="confirmed", confirmed_at_ms=AT_MS))
        self.release = Verb(BOOKING)
        self.cancel = Verb(replace(BOOKING, status="cancelled", ended_at_ms=AT_MS))
        self.extend = Verb(Extended(BOOKING, replayed=False, expires_in_ms=1_199_999))
        self.history = Verb(Past([Transition(1, "reserved", AT_MS, "reserve")]))
        self.receive = Verb(True)
        self.list_bookings = Verb(Page([BOOKING], BOOKING_ID))
        self.summary = Verb(Count("demo", held=2, confirmed=3, allowed=10, remaining=5))
        self.inventory = Verb([Compared(Stock("demo", "A", 10, 3, 2, 7), ON_SALE.seats)])
        self.reconcile = Verb(Report([], [Finding("demo", "A", "ENDED_IN_POSTGRES", 2, BOOKING_ID)]))
        self.get = Verb(BOOKING)
        self.open_zone = Verb(True)
        self.open_zone.event = Verb(True)  # type: ignore[attr-defined]
        self.availability = Verb(None)
        self.availability.events = Verb([event])  # type: ignore[attr-defined]
        self.availability.event = Verb(event)  # type: ignore[attr-defined]
        self.availability.zone = Verb(ON_SALE)  # type: ignore[attr-defined]
        self.health = Verb({"redis": "ok", "postgres": "ok", "shards": "ok"})
        self.start = Verb(None)
        self.limits: Any = None
