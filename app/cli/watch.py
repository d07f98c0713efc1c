"""`flask ops events | zones | booking | tail`: what an operator looks at. Each also speaks JSON, as the API does."""

import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import Event
from typing import Any, Final

import click

from app.api import present
from app.cli import tables
from app.cli.opened import opened
from app.domain import money, times
from app.domain.errors import Refusal
from app.domain.model import Booking, Happened, Transition
from app.services.availability import OnSale
from app.services.look import Looked

_POLL_S: Final = 0.5
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_as_json = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")


class Since(click.ParamType[int]):
    """`90s`, `10m`, `2h` or `1d` ago, or a time of RFC 3339; Unix milliseconds."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if ago := re.fullmatch(r"([0-9]{1,6})([smhd])", value):
            return round((time.time() - int(ago[1]) * _SECONDS[ago[2]]) * 1000)
        try:
            return times.from_datetime(datetime.fromisoformat(value))
        except ValueError:
            return self.fail("90s, 10m, 2h, 1d or a time with its offset, such as 2026-08-01T20:00:00Z.", param, ctx)


@_as_json
def events(as_json: bool) -> None:
    """All events with their seats of this instant."""
    with opened() as wiring:
        catalogue = wiring.availability.events()
    if as_json:
        return _print_json(present.events(catalogue).body)
    headings = ("event", "name", "zones", "capacity", "available", "held", "confirmed", "opens", "closes")
    return tables.show(
        headings,
        [
            (event.event_id, event.name, len(zones), *_sum(zones), _at(event.opens_at_ms), _at(event.closes_at_ms))
            for event, zones in catalogue
        ],
    )


@click.argument("event_id", metavar="EVENT")
@_as_json
def zones(event_id: str, as_json: bool) -> None:
    """The zones of one event with their seats of this instant."""
    with opened() as wiring:
        event = wiring.availability.event(event_id)
    if as_json:
        return _print_json(present.zones(event).body)
    headings = ("zone", "name", "price", "capacity", "available", "held", "confirmed")
    return tables.show(
        headings,
        [
            (on.zone.zone_id, on.zone.name, _price(on.zone.price_minor, on.zone.currency), *_sum([on]))
            for on in event[1]
        ],
    )


@click.argument("booking_id", metavar="ID")
@_as_json
def booking(booking_id: str, as_json: bool) -> None:
    """One booking as Redis and Postgres have it, side by side, with its history."""
    with opened() as wiring:
        looked = wiring.look(booking_id)
    if as_json:
        return _print_json(_looked(booking_id, looked))
    redis = looked.redis.booking if looked.redis else None
    tables.line(booking_id)
    tables.show(
        ("", "redis", "postgres"),
        [(name, told, recorded) for name, told, recorded in zip(_NAMES, _facts(redis), _facts(looked.postgres))],  # noqa: B905
        folds=True,
    )
    for store, why in looked.silent.items():
        tables.line(f"{store} could not be asked: {why}")
    if looked.redis and looked.redis.pinned:
        tables.line("redis has it pinned: a confirmation is under way")
    if looked.redis and redis and redis.status == "reserved":
        tables.line(f"{looked.redis.expires_in_ms / 1000:.1f} s are left by redis' clock")
    click.echo()
    return tables.show(
        ("version", "status", "at", "cause"),
        [(t.version, t.status, times.to_text(t.at_ms), t.cause) for t in looked.history],
    )


@click.option("--since", type=Since(), help="90s, 10m, 2h, 1d ago, or a time of RFC 3339; from now on unless given.")
@click.option("--limit", type=click.IntRange(min=1), help="End after so many lines; with Ctrl-C unless given.")
@_as_json
def tail(since: int | None, limit: int | None, as_json: bool) -> None:
    """Follow what happens to all bookings, as Postgres records it."""
    left = limit
    try:
        with opened() as wiring, _ended_by_ctrl_c() as ended:
            following = wiring.tail(since)
            while not ended.is_set() and (left is None or left > 0):
                lines = _next(following)
                for happened in lines[:left]:
                    _tell(happened, as_json)
                left = None if left is None else left - len(lines)
                if not lines:
                    ended.wait(_POLL_S)
    except KeyboardInterrupt:
        return  # before it has begun: no word, no error either


@contextmanager
def _ended_by_ctrl_c() -> Iterator[Event]:
    """Set at Ctrl-C: the way to end it. A query that is under way comes to its end."""
    ended = Event()
    before = signal.signal(signal.SIGINT, lambda number, frame: ended.set())
    try:
        yield ended
    finally:
        signal.signal(signal.SIGINT, before)


def _next(following: Any) -> list[Happened]:
    """The next lines. An outage is told, and waited for: whoever follows wants to see its end."""
    try:
        return list(following())
    except Refusal as refused:
        click.echo(f"{refused.detail}; asking again", err=True)
        return []


def _tell(happened: Happened, as_json: bool) -> None:
    at = times.to_text(happened.at_ms)
    if as_json:
        members = {name: getattr(happened, name) for name in happened.__slots__ if name not in ("number", "at_ms")}
        return click.echo(json.dumps({"at": at, **members}))
    place = f"{happened.event_id}/{happened.zone_id}"
    seats = f"{happened.quantity} x {place}"
    return tables.line(at, happened.status, seats, happened.user_id, happened.booking_id, happened.cause)


_NAMES: Final = (
    *("status", "event", "zone", "user", "quantity", "unit price", "reserved at", "deadline", "version"),
    *("confirmed at", "code", "payment", "ended at", "cause"),
)


def _facts(known: Booking | None) -> tuple[object, ...]:
    """In the order of `_NAMES`, as text: a column of facts has no one type."""
    if known is None:
        return (None,) * len(_NAMES)
    return (
        *(known.status, known.event_id, known.zone_id, known.user_id, str(known.quantity)),
        *(_price(known.unit_price_minor, known.currency), _at(known.reserved_at_ms), _at(known.deadline_ms)),
        *(str(known.version), _at(known.confirmed_at_ms), known.confirmation_code, known.payment_id),
        *(_at(known.ended_at_ms), known.cause),
    )


def _looked(booking_id: str, looked: Looked) -> dict[str, Any]:
    redis = looked.redis and {
        **present.found(looked.redis.booking).body,
        "pinned": looked.redis.pinned,
        "expires_in": looked.redis.expires_in_ms // 1000,
    }
    return {
        "booking_id": booking_id,
        "redis": redis,
        "postgres": looked.postgres and present.found(looked.postgres).body,
        "silent": looked.silent,
        "history": [_transition(each) for each in looked.history],
    }


def _transition(each: Transition) -> dict[str, Any]:
    return {"version": each.version, "status": each.status, "at": times.to_text(each.at_ms), "cause": each.cause}


def _sum(on_sale: list[OnSale]) -> tuple[int, int, int, int]:
    seats = [each.seats for each in on_sale]
    return (
        sum(each.capacity for each in seats),
        sum(each.available for each in seats),
        sum(each.held for each in seats),
        sum(each.confirmed for each in seats),
    )


def _price(minor: int, currency: str) -> str:
    return f"{money.to_text(minor, currency)} {currency}"


def _at(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else times.to_text(milliseconds)


def _print_json(body: Any) -> None:
    click.echo(json.dumps(body, indent=2))
