"""/admin: operators put events and zones on sale, and compare the stores."""

from typing import Any, Final

from app.api import answers, present, schemas
from app.api.contract import Blueprint, refuses
from app.api.identity import for_admin
from app.api.paths import EVENT, ZONE, new_ids
from app.api.services import wired
from app.domain.model import Event, Zone
from app.services.inventory import Compared
from app.services.reconcile import Report

blueprint: Final = Blueprint("admin", "For operators")


@blueprint.route("PUT", "/admin/events/<event_id>", parameters=[EVENT])
@blueprint.answers(present.event_put, {201: answers.EventPut, 200: answers.EventPut})
@refuses("EVENT_NOT_FOUND", "SERVICE_UNAVAILABLE")
@for_admin
@new_ids
@blueprint.takes(schemas.PutEvent)
def put_event(terms: dict[str, Any], *, event_id: str) -> tuple[Event, bool]:
    """Create an event, or replace its terms

    201 where it is new. New terms hold for all its zones from now on; a reservation keeps its deadline. An id that
    begins with `sandbox:` makes an event for trials, which an operator may purge; then its id is unusable for 30 days.
    """
    event = Event(event_id=event_id, **terms)
    return event, wired().open_zone.event(event)


@blueprint.route("PUT", "/admin/events/<event_id>/zones/<zone_id>", parameters=[EVENT, ZONE])
@blueprint.answers(present.zone_put, {201: answers.ZonePut, 200: answers.ZonePut})
@refuses("EVENT_NOT_FOUND", "CAPACITY_IN_USE", "SERVICE_UNAVAILABLE")
@for_admin
@new_ids
@blueprint.takes(schemas.PutZone)
def put_zone(terms: dict[str, Any], *, event_id: str, zone_id: str) -> tuple[Zone, bool]:
    """Put a zone of an event on sale, or change it

    201 where it is new. A new price holds for new reservations; a reservation keeps its own.
    """
    zone = Zone(event_id=event_id, zone_id=zone_id, **{"name": zone_id, **terms})
    return zone, wired().open_zone(zone)


@blueprint.route("GET", "/admin/inventory")
@blueprint.answers(present.inventory, {200: answers.Inventory})
@refuses("EVENT_NOT_FOUND", "SERVICE_UNAVAILABLE")
@for_admin
@blueprint.asks(schemas.OfEventIfAny)
def inventory(asked: dict[str, Any]) -> list[Compared]:
    """Both stores side by side, with the drift of each zone

    Redis less Postgres, in seats. It is 0 at rest; while events are on their way to Postgres it is not.
    """
    return wired().inventory(asked["event_id"])


@blueprint.route("POST", "/admin/reconcile")
@blueprint.answers(present.reconciled, {200: answers.Reconciled})
@refuses("EVENT_NOT_FOUND", "SERVICE_UNAVAILABLE")
@for_admin
@blueprint.asks(schemas.Reconcile)
def reconcile(asked: dict[str, Any]) -> Report:
    """What differs between Redis, the bookings and their history, and on demand its repair

    Takes some seconds where something differs: what is only on its way is no drift, so it is looked at again.
    """
    return wired().reconcile(asked["event_id"], asked["repair"])
