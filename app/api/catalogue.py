"""/events: what is on sale, with the seats of this instant. Needs no identity."""

from typing import Final

from app.api import answers, present
from app.api.contract import Blueprint, refuses
from app.api.paths import EVENT, ZONE, known_ids
from app.api.services import wired
from app.domain.model import Event
from app.services.availability import OnSale

blueprint: Final = Blueprint("events", "What is on sale, with live availability")


@blueprint.route("GET", "/events", operation="list_events")
@blueprint.answers(present.events, {200: answers.Events})
@refuses("SERVICE_UNAVAILABLE")
def events() -> list[tuple[Event, list[OnSale]]]:
    """All events"""
    return wired().availability.events()


@blueprint.route("GET", "/events/<event_id>", operation="get_event", parameters=[EVENT])
@blueprint.answers(present.event, {200: answers.EventWithZones})
@refuses("EVENT_NOT_FOUND", "SERVICE_UNAVAILABLE")
@known_ids
def event(*, event_id: str) -> tuple[Event, list[OnSale]]:
    """One event with its zones"""
    return wired().availability.event(event_id)


@blueprint.route("GET", "/events/<event_id>/zones", operation="list_zones", parameters=[EVENT])
@blueprint.answers(present.zones, {200: answers.Zones})
@refuses("EVENT_NOT_FOUND", "SERVICE_UNAVAILABLE")
@known_ids
def zones(*, event_id: str) -> tuple[Event, list[OnSale]]:
    """The zones of one event"""
    return wired().availability.event(event_id)


@blueprint.route("GET", "/events/<event_id>/zones/<zone_id>", operation="get_zone", parameters=[EVENT, ZONE])
@blueprint.answers(present.zone, {200: answers.Zone})
@refuses("EVENT_NOT_FOUND", "ZONE_NOT_FOUND", "SERVICE_UNAVAILABLE")
@known_ids
def zone(*, event_id: str, zone_id: str) -> OnSale:
    """One zone"""
    return wired().availability.zone(event_id, zone_id)
