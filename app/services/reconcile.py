"""reconcile: Redis, Postgres' bookings and the fold of their history side by side; what differs, why, and its repair.

Traffic goes on meanwhile. What is on its way from one store to the other is no drift: whatever differs is looked at
again, for `PATIENCE_S` seconds in all, and only what differs each time is told. Nothing is ever set to a number that
was read before: facts travel with their version, reservations are settled or recorded as they would have been, and what
Redis has forgotten closes its shard for the ordinary rebuild.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from app.domain.errors import refusal
from app.domain.ids import shard_of_event
from app.domain.model import Counted, LiveZone, Pin
from app.domain.ports import Ledger, Recorder, Reservations
from app.services.waiting import Outbox, told_of

Code = Literal[
    "ZONE_MISSING", "FACTS_BEHIND", "FACTS_DIFFER", "HELD_DIFFERS", "ENDED_IN_POSTGRES", "NOT_RECORDED",
    "END_NOT_RECORDED", "FORGOTTEN", "MISCOUNTED", "HISTORY_DIFFERS",
]  # fmt: skip
WHY: Final[Mapping[Code, str]] = {
    "ZONE_MISSING": "Redis does not know the zone",
    "FACTS_BEHIND": "Redis has not learned what Postgres committed",
    "FACTS_DIFFER": "Redis holds other figures under the same version",
    "HELD_DIFFERS": "held is not the sum of the reservations in Redis",
    "ENDED_IN_POSTGRES": "live in Redis, final in Postgres",
    "NOT_RECORDED": "live in Redis, unknown to Postgres, and no longer on its way",
    "END_NOT_RECORDED": "ended in Redis, reserved in Postgres, and no longer on its way",
    "FORGOTTEN": "reserved in Postgres, unknown to Redis",
    "MISCOUNTED": "confirmed_seats is not the sum of the confirmed bookings",
    "HISTORY_DIFFERS": "the history does not fold to the bookings",
}
_REBUILT: Final = frozenset[Code](("ZONE_MISSING", "FACTS_DIFFER", "HELD_DIFFERS"))
_LOOKS_S: Final = (0.5, 1.5, 3.0)
PATIENCE_S: Final = sum(_LOOKS_S)
_REBUILD_LOOKS: Final = 20
_REBUILD_LOOK_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that differs, and stays so. `seats`: how many it is about."""

    event_id: str
    zone_id: str
    code: Code
    seats: int
    booking_id: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The zones as they were read last, what differs in them, and what was repaired before."""

    zones: Sequence[tuple[Counted, LiveZone | None]]
    findings: Sequence[Finding]
    repaired: Sequence[Finding] = ()


@dataclass(frozen=True, slots=True)
class Repairs:
    """What a repair needs beyond the two stores."""

    recorder: Recorder
    settle: Callable[[int, Sequence[Pin]], object]
    settle_stale: Callable[[int], int]
    close: Callable[[int], object]
    rebuild: Callable[[int], bool]
    """True once the shard is open, and this process knows its epoch."""


@dataclass(frozen=True, slots=True)
class Reconcile:
    reservations: Reservations
    ledger: Ledger
    outbox: Outbox
    shards: int
    repairs: Repairs
    sleep: Callable[[float], object] = field(default=time.sleep)

    def __call__(
        self, event_id: str | None, repair: bool = False, progress: Callable[[str], object] = lambda line: None
    ) -> Report:
        """All zones, or those of one event. Raises `EVENT_NOT_FOUND`, `SERVICE_UNAVAILABLE`."""
        if event_id is not None and not self.ledger.catalogue(event_id):
            raise refusal("EVENT_NOT_FOUND")
        report = self._find(event_id, progress)
        if not repair or not report.findings:
            return report
        for finding in report.findings:
            progress(f"repairing {finding.event_id}/{finding.zone_id}: {WHY[finding.code]}")
        self._repair(report)
        after = self._find(event_id, progress)
        return Report(after.zones, after.findings, report.findings)

    def _find(self, event_id: str | None, progress: Callable[[str], object]) -> Report:
        counted = {(zone.event_id, zone.zone_id): zone for zone in self.ledger.reconcile_zones(event_id)}
        first = dict(counted)  # Redis has to reach these versions, whatever has been committed since
        zones: dict[tuple[str, str], tuple[Counted, LiveZone | None]] = {}
        found: dict[tuple[str, str], set[Finding]] = {}
        for number, (name, zone) in enumerate(counted.items(), 1):
            zones[name], found[name] = self._compare(zone, zone.version)
            if number % 200 == 0:
                progress(f"{number} of {len(counted)} zones compared")
        for wait in _LOOKS_S:
            again = [name for name, findings in found.items() if findings]
            if not again:
                break
            progress(f"{len(again)} zones differ; looking again in {wait} s")
            self.sleep(wait)
            for event in {event for event, _ in again}:
                counted |= {(zone.event_id, zone.zone_id): zone for zone in self.ledger.reconcile_zones(event)}
            for name in again:
                zones[name], findings = self._compare(counted[name], first[name].version)
                known = {(each.code, each.booking_id) for each in found[name]}
                found[name] = {each for each in findings if (each.code, each.booking_id) in known}
        order = [each for name in zones for each in sorted(found[name], key=lambda f: (f.code, f.booking_id or ""))]
        return Report(list(zones.values()), order)

    def _compare(self, zone: Counted, version: int) -> tuple[tuple[Counted, LiveZone | None], set[Finding]]:
        """One look at one zone."""
        name = (zone.event_id, zone.zone_id)
        found: set[Finding] = set()
        if zone.confirmed != zone.booked_confirmed:
            found.add(Finding(*name, "MISCOUNTED", zone.confirmed - zone.booked_confirmed))
        folded = (zone.folded_confirmed - zone.booked_confirmed, zone.folded_reserved - zone.booked_reserved)
        if folded != (0, 0):
            found.add(Finding(*name, "HISTORY_DIFFERS", sum(map(abs, folded))))
        live = self.reservations.live(*name)
        if live is None:
            found.add(Finding(*name, "ZONE_MISSING", zone.capacity))
            return (zone, None), found
        if live.version < version:
            found.add(Finding(*name, "FACTS_BEHIND", abs(live.confirmed - zone.confirmed)))
        elif live.version == zone.version and (live.confirmed, live.capacity) != (zone.confirmed, zone.capacity):
            found.add(Finding(*name, "FACTS_DIFFER", abs(live.confirmed - zone.confirmed)))
        if live.whole and live.held != sum(live.quantities.values()):
            found.add(Finding(*name, "HELD_DIFFERS", live.held - sum(live.quantities.values())))
        found |= {Finding(*name, code, seats, booking) for booking, (code, seats) in self._orphans(name, live).items()}
        return (zone, live), found

    def _orphans(self, name: tuple[str, str], live: LiveZone) -> dict[str, tuple[Code, int]]:
        """Bookings of which the stores tell different things, by id."""
        booked = {each.booking_id: each for each in self.ledger.reconcile_bookings(*name, list(live.quantities))}
        orphans: dict[str, tuple[Code, int]] = {}
        for booking_id, quantity in live.quantities.items():
            if booking_id not in booked:
                orphans[booking_id] = ("NOT_RECORDED", quantity)
            elif booked[booking_id].status != "reserved":
                orphans[booking_id] = ("ENDED_IN_POSTGRES", quantity)
        lost = [b for b in booked.values() if b.status == "reserved" and b.booking_id not in live.quantities]
        if lost and live.whole:
            shard = shard_of_event(name[0], self.shards)
            missing = self.reservations.missing(shard, live.epoch, [b.booking_id for b in lost])
            orphans |= {
                b.booking_id: ("FORGOTTEN" if b.booking_id in missing else "END_NOT_RECORDED", b.quantity) for b in lost
            }
        waiting = told_of(self.outbox, shard_of_event(name[0], self.shards), orphans)
        return {booking_id: orphan for booking_id, orphan in orphans.items() if booking_id not in waiting}

    def _repair(self, report: Report) -> None:
        """Each as its cause asks. `HISTORY_DIFFERS` is for people: nothing that happened is ever rewritten."""
        by_zone: defaultdict[tuple[str, str], list[Finding]] = defaultdict(list)
        for finding in report.findings:
            by_zone[finding.event_id, finding.zone_id].append(finding)
        live = {(counted.event_id, counted.zone_id): zone for counted, zone in report.zones}
        to_rebuild = {
            shard_of_event(name[0], self.shards)
            for name, findings in by_zone.items()
            if not self._repair_zone(name, live[name], findings)
        }
        for shard in sorted(to_rebuild):
            self.repairs.close(shard)
            for _ in range(_REBUILD_LOOKS):
                if self.repairs.rebuild(shard):
                    break
                self.sleep(_REBUILD_LOOK_S)  # the worker was quicker, and is still at it

    def _repair_zone(self, name: tuple[str, str], live: LiveZone | None, findings: Sequence[Finding]) -> bool:
        """False if only a rebuild of its shard can help."""
        shard = shard_of_event(name[0], self.shards)
        codes = {finding.code for finding in findings}
        if "MISCOUNTED" in codes:
            self.ledger.recount_zone(*name)
        if "FORGOTTEN" in codes:
            self.repairs.settle_stale(shard)
        if live is None or codes & _REBUILT or self._still_promised(name, findings):
            return False
        if pins := self._final(live.epoch, findings):
            self.repairs.settle(shard, pins)
        untold = [f.booking_id for f in findings if f.booking_id and f.code in ("NOT_RECORDED", "END_NOT_RECORDED")]
        if entries := [entry for entry in map(self.reservations.entry, untold) if entry]:
            self.repairs.recorder.record(entries)
        self.reservations.learn(shard, self.ledger.zone_facts(*name))
        return True

    def _still_promised(self, name: tuple[str, str], findings: Sequence[Finding]) -> bool:
        """Whether Redis has forgotten a reservation that Postgres still holds: its holder may yet confirm it."""
        forgotten = {finding.booking_id for finding in findings if finding.code == "FORGOTTEN"}
        return bool(forgotten) and any(
            booking.booking_id in forgotten for booking in self.ledger.reconcile_bookings(*name, [])
        )

    def _final(self, epoch: int, findings: Sequence[Finding]) -> list[Pin]:
        """What Postgres has decided and Redis still holds, as pins: deciding them again changes nothing."""
        live = [f.booking_id for f in findings if f.code == "ENDED_IN_POSTGRES" and f.booking_id]
        final = [booking for booking in map(self.ledger.get_booking, live) if booking and booking.status != "reserved"]
        return [Pin(booking=b, epoch=epoch, number=0, idempotency_key="", fingerprint="") for b in final]
