"""Postgres as the port `Ledger`: each method is one function of `sql/functions`, one transaction, one round trip."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from psycopg.types.json import Jsonb

from app.domain import money
from app.domain.ids import is_booking_id, shard_of_event
from app.domain.model import (
    Booking,
    Ceiling,
    Counted,
    Decision,
    Event,
    Learned,
    LedgerBacklog,
    Pin,
    Registered,
    Seats,
    Status,
    Stock,
    Transition,
    Zone,
)
from app.stores.postgres import Postgres
from app.stores.rows import decision_of, pins_of


class PostgresLedger:
    def __init__(self, postgres: Postgres, shards: int) -> None:
        self._postgres = postgres
        self._shards = shards

    def confirm_bookings(self, pins: Sequence[Pin]) -> Sequence[Decision]:
        rows = self._postgres.rows(
            "SELECT booking_id::text, outcome, reason, booking, zone, user_seats "
            "FROM booking.confirm_bookings(p_pins => %s)",
            [pins_of(pins)],
        )
        return [decision_of(row) for row in rows]

    def settle_bookings(self, pins: Sequence[Pin]) -> Sequence[Decision]:
        rows = self._postgres.rows(
            "SELECT booking_id::text, outcome, reason, booking, zone, user_seats "
            "FROM booking.settle_bookings(p_pins => %s)",
            [pins_of(pins)],
        )
        return [decision_of(row) for row in rows]

    def get_booking(self, booking_id: str) -> Booking | None:
        if not is_booking_id(booking_id):
            return None
        ((booking,),) = self._postgres.rows("SELECT booking.get_booking(p_booking_id => %s)", [booking_id])
        return Booking(**booking) if booking else None

    def get_history(self, booking_id: str) -> list[Transition]:
        if not is_booking_id(booking_id):
            return []
        rows = self._postgres.rows(
            "SELECT version, status, at_ms, cause FROM booking.get_history(p_booking_id => %s)", [booking_id]
        )
        return [Transition(*row) for row in rows]

    def put_event(self, event: Event) -> tuple[bool, Learned]:
        ((created, zones),) = self._postgres.rows(
            "SELECT created, zones FROM booking.put_event(p_shard => %s::smallint, p_event => %s)",
            [shard_of_event(event.event_id, self._shards), Jsonb({f: getattr(event, f) for f in Event.__slots__})],
        )
        return created, Learned(zones=tuple(zones))

    def open_zone(self, zone: Zone, ceiling: Ceiling | None = None) -> tuple[bool, Learned]:
        asked = {f: getattr(zone, f) for f in Zone.__slots__}
        if ceiling:
            asked |= {"ceiling_epoch": ceiling.epoch, "ceiling": ceiling.number}
        ((created, facts),) = self._postgres.rows(
            "SELECT created, facts FROM booking.open_zone(p_shard => %s::smallint, p_zone => %s)",
            [
                shard_of_event(zone.event_id, self._shards),
                Jsonb(asked | {"currency_digits": money.digits_of(zone.currency)}),
            ],
        )
        return created, Learned(zones=(facts,))

    def void_ceiling(self, ceiling: Ceiling) -> Learned:
        rows = self._postgres.rows(
            "SELECT facts FROM booking.void_ceiling(p_shard => %s::smallint, p_event_id => %s, p_zone_id => %s, "
            "p_epoch => %s, p_number => %s) AS facts",
            [
                shard_of_event(ceiling.event_id, self._shards),
                *(ceiling.event_id, ceiling.zone_id, ceiling.epoch, ceiling.number),
            ],
        )
        return Learned(zones=tuple(facts for (facts,) in rows))

    def cancel_booking(self, booking_id: str, user_id: str, reason: str | None) -> Decision:
        if not is_booking_id(booking_id):
            return Decision(booking_id, "RESERVATION_NOT_FOUND")
        (row,) = self._postgres.rows(
            "SELECT booking_id::text, outcome, reason, booking, zone, user_seats "
            "FROM booking.cancel_booking(p_booking_id => %s, p_user_id => %s, p_reason => %s)",
            [booking_id, user_id, reason],
        )
        return decision_of(row)

    def list_bookings(
        self, user_id: str, event_id: str | None, status: Status | None, before: str | None, limit: int
    ) -> Sequence[Booking]:
        rows = self._postgres.rows(
            "SELECT booking FROM booking.list_bookings(p_user_id => %s, p_event_id => %s, p_status => %s, "
            "p_before => %s, p_limit => %s) AS booking",
            [user_id, event_id, status, before, limit],
        )
        return [Booking(**booking) for (booking,) in rows]

    def confirmed_seats(self, user_id: str, event_id: str, booking_ids: Sequence[str]) -> tuple[int, set[str]]:
        ((confirmed, bookings),) = self._postgres.rows(
            "SELECT confirmed, bookings "
            "FROM booking.confirmed_seats(p_user_id => %s, p_event_id => %s, p_bookings => %s::uuid[])",
            [user_id, event_id, list(booking_ids)],
        )
        return confirmed, set(bookings)

    def inventory(self, event_id: str | None) -> Sequence[Stock]:
        rows = self._postgres.rows(
            "SELECT event_id, zone_id, capacity, confirmed, reserved, version FROM booking.inventory(p_event_id => %s)",
            [event_id],
        )
        return [Stock(*row) for row in rows]

    def zone_facts(self, event_id: str, zone_id: str) -> Learned:
        rows = self._postgres.rows(
            "SELECT facts FROM booking.get_zone_facts(p_event_id => %s, p_zone_id => %s) AS facts", [event_id, zone_id]
        )
        return Learned(zones=tuple(facts for (facts,) in rows))

    def catalogue(self, event_id: str | None = None) -> list[tuple[Event, list[Zone]]]:
        rows = self._postgres.rows("SELECT event, zones FROM booking.catalogue(p_event_id => %s)", [event_id])
        return [(Event(**event), [Zone(**zone) for zone in zones]) for event, zones in rows]

    def backlog(self) -> LedgerBacklog:
        (row,) = self._postgres.rows("SELECT waiting, oldest_seconds, dead_letters FROM booking.backlog()")
        return LedgerBacklog(*row)

    def drifting_zones(self, limit: int) -> Sequence[tuple[str, str, int]]:
        rows = self._postgres.rows(
            "SELECT event_id, zone_id, seats FROM booking.drifting_zones(p_limit => %s)", [limit]
        )
        return [(event_id, zone_id, seats) for event_id, zone_id, seats in rows]

    def record_snapshots(self, event_id: str, seats: Mapping[str, Seats]) -> int:
        zones = [{"event_id": event_id, "zone_id": zone_id, **asdict(each)} for zone_id, each in seats.items()]
        ((taken,),) = self._postgres.rows("SELECT booking.record_snapshots(p_zones => %s)", [Jsonb(zones)])
        return int(taken)

    def reconcile_zones(self, event_id: str | None) -> Sequence[Counted]:
        rows = self._postgres.rows(
            "SELECT event_id, zone_id, capacity, confirmed, version, booked_confirmed, booked_reserved, "
            "folded_confirmed, folded_reserved FROM booking.reconcile_zones(p_event_id => %s)",
            [event_id],
        )
        return [Counted(*row) for row in rows]

    def reconcile_bookings(self, event_id: str, zone_id: str, booking_ids: Sequence[str]) -> Sequence[Booking]:
        rows = self._postgres.rows(
            "SELECT booking FROM booking.reconcile_bookings("
            "p_event_id => %s, p_zone_id => %s, p_bookings => %s::uuid[])",
            [event_id, zone_id, list(booking_ids)],
        )
        return [Booking(**booking) for (booking,) in rows]

    def recount_zone(self, event_id: str, zone_id: str) -> Learned:
        rows = self._postgres.rows(
            "SELECT facts FROM booking.recount_zone("
            "p_shard => %s::smallint, p_event_id => %s, p_zone_id => %s) AS facts",
            [shard_of_event(event_id, self._shards), event_id, zone_id],
        )
        return Learned(zones=tuple(facts for (facts,) in rows))

    def registered(self, shard: int) -> Registered:
        ((epoch, highest_seq, zones),) = self._postgres.rows(
            "SELECT epoch, highest_seq, zones FROM booking.known_zones(p_shard => %s::smallint)", [shard]
        )
        return Registered(epoch, highest_seq, tuple(map(tuple, zones)))

    def stale_reservations(self, shard: int, limit: int) -> Sequence[Pin]:
        rows = self._postgres.rows(
            "SELECT epoch, booking FROM booking.stale_reservations(p_shard => %s::smallint, p_limit => %s)",
            [shard, limit],
        )
        return [
            Pin(booking=Booking(**booking), epoch=epoch, number=0, idempotency_key="", fingerprint="")
            for epoch, booking in rows
        ]

    def epochs(self) -> Mapping[int, int]:
        return dict(self._postgres.rows("SELECT shard, epoch FROM booking.epochs()"))
