"""`flask ops reconcile`: what differs between the stores, why, and its repair."""

import json
import sys
from typing import Final

import click

from app.api import present
from app.cli import tables
from app.cli.opened import opened
from app.services.reconcile import WHY, Finding, Report

DRIFT: Final = 1
"""The exit status while something differs."""


@click.option("--event", "event_id", metavar="EVENT", help="Only of this event; all unless given.")
@click.option("--repair", is_flag=True, help="Close the drift. Traffic may go on.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def reconcile(event_id: str | None, repair: bool, as_json: bool) -> None:
    """Compare Redis, the bookings in Postgres and their history. Exits with 1 while something differs."""
    with opened() as wiring:
        report = wiring.reconcile(event_id, repair, lambda line: click.echo(line, err=True))
    if as_json:
        click.echo(json.dumps(present.reconciled(report).body, indent=2))
    else:
        _print(report)
    if report.findings:
        sys.exit(DRIFT)


def _print(report: Report) -> None:
    differing = {(finding.event_id, finding.zone_id) for finding in (*report.findings, *report.repaired)}
    headings = (
        "event",
        "zone",
        "capacity",
        "confirmed",
        "booked",
        "folded",
        "redis",
        "held",
        "reserved",
        "reserves folded",
    )
    rows = [
        (
            *(zone.event_id, zone.zone_id, zone.capacity, zone.confirmed, zone.booked_confirmed, zone.folded_confirmed),
            *((live.confirmed, live.held) if live else (None, None)),
            *(zone.booked_reserved, zone.folded_reserved),
        )
        for zone, live in report.zones
        if (zone.event_id, zone.zone_id) in differing
    ]
    if rows:
        tables.show(headings, rows)
        click.echo()
    for finding in report.repaired:
        tables.line("repaired:" if finding not in report.findings else "not repaired:", *_cells(finding))
    for finding in report.findings:
        tables.line("differs:", *_cells(finding))
    zones = f"{len(report.zones)} zones compared"
    click.echo(f"{zones}: {len(report.findings)} differences" if report.findings else f"{zones}, no drift")


def _cells(finding: Finding) -> tuple[object, ...]:
    place = f"{finding.event_id}/{finding.zone_id}"
    about = (finding.booking_id,) if finding.booking_id else ()
    return (place, f"{finding.seats} seats", WHY[finding.code], *about)
