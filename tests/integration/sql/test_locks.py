"""Rules 3.6 and 3.9: what writes a shard's bookings, zones or users excludes its rebuild, and the other way round."""

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from app.domain.ids import shard_of_event
from app.stores.rows import pins_of
from tests.support.seats import HOLD_SECONDS, PRICE_MINOR, Sale, reopen

OpenEvent = Callable[..., Sale]
_SHARD_CLASS = 1

WRITERS = {
    "record_reservations": "SELECT booking.record_reservations(%(entries)s)",
    "record_extensions": "SELECT booking.record_extensions(%(entries)s)",
    "record_releases": "SELECT booking.record_releases(%(entries)s)",
    "record_expiries": "SELECT booking.record_expiries(%(entries)s)",
    "confirm_bookings": "SELECT booking.confirm_bookings(%(pins)s)",
    "settle_bookings": "SELECT booking.settle_bookings(%(pins)s)",
    "cancel_booking": "SELECT booking.cancel_booking(%(booking_id)s, 'ann', NULL)",
    "open_zone": "SELECT booking.open_zone(%(shard)s::smallint, %(zone)s)",
    "put_event": "SELECT booking.put_event(%(shard)s::smallint, %(event)s)",
    "void_ceiling": "SELECT booking.void_ceiling(%(shard)s::smallint, %(event_id)s, 'A', 1, 1)",
}


@pytest.fixture
def named(sale: Sale) -> dict[str, Any]:
    """What the calls above need: a pinned reservation of this sale, and its entry."""
    shard = shard_of_event(sale.event_id, len(sale.shop.shards))
    booking_id = sale.reserve().booking.booking_id
    (entry,) = [e for e in sale.shop.outbox.read(shard, 500) if e["booking_id"] == booking_id]
    (event, _), *_ = sale.shop.ledger.catalogue(sale.event_id)
    zone = {"event_id": sale.event_id, "zone_id": "A", "name": "A", "capacity": 10}
    return {
        "shard": shard,
        "booking_id": booking_id,
        "event_id": sale.event_id,
        "entries": Jsonb([entry]),
        "pins": pins_of([sale.shop.reservations.confirm(booking_id, "ann", None)]),
        "zone": Jsonb({**zone, "price_minor": PRICE_MINOR, "currency": "THB", "currency_digits": 2}),
        "event": Jsonb({f: getattr(event, f) for f in event.__slots__}),
    }


@pytest.mark.parametrize("writer", WRITERS)
def test_a_writer_waits_for_a_rebuild_under_way(sale: Sale, named: dict[str, Any], writer: str) -> None:
    with sale.shop.postgres.session(5) as rebuild, sale.shop.postgres.session(5) as other:
        rebuild.execute("SELECT pg_advisory_lock(%s, %s)", [_SHARD_CLASS, named["shard"]])
        other.execute("SET lock_timeout = '300ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute(WRITERS[writer].encode(), named)
        rebuild.execute("SELECT pg_advisory_unlock(%s, %s)", [_SHARD_CLASS, named["shard"]])
        other.execute(WRITERS[writer].encode(), named)


def test_a_rebuilds_image_waits_for_writers_under_way(sale: Sale, named: dict[str, Any]) -> None:
    with sale.shop.postgres.session(5) as writer, sale.shop.postgres.session(5) as rebuild:
        writer.execute("SELECT pg_advisory_lock_shared(%s, %s)", [_SHARD_CLASS, named["shard"]])
        rebuild.execute("SET lock_timeout = '300ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            rebuild.execute("SELECT booking.shard_image(%(shard)s::smallint)", named)


@pytest.mark.parametrize("ending", ["record_releases", "record_expiries", "settle_bookings", "cancel_booking"])
def test_an_ending_waits_for_a_confirm_of_the_same_booking_and_finds_it_confirmed(
    sale: Sale, named: dict[str, Any], ending: str
) -> None:
    sale.record()
    with sale.shop.postgres.session(5) as confirm, sale.shop.postgres.session(5) as other, confirm.transaction():
        confirm.execute(WRITERS["confirm_bookings"].encode(), named)
        other.execute("SET lock_timeout = '300ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute(WRITERS[ending].encode(), named)
    recorded = sale.shop.ledger.get_booking(named["booking_id"])
    assert recorded is not None
    assert recorded.status == "confirmed"


def test_a_confirm_waits_for_an_ending_of_the_same_booking_and_finds_it_ended(
    sale: Sale, named: dict[str, Any]
) -> None:
    sale.record()
    outcomes: list[Any] = []

    def confirm() -> None:
        with sale.shop.postgres.session(5) as other:
            rows = other.execute("SELECT outcome, reason FROM booking.confirm_bookings(%(pins)s)", named).fetchall()
            outcomes.extend(rows)

    thread = threading.Thread(target=confirm)
    with sale.shop.postgres.session(5) as ending, ending.transaction():
        ending.execute(WRITERS["record_expiries"].encode(), named)
        thread.start()
        thread.join(timeout=0.5)
        assert thread.is_alive(), "the confirm did not wait"
    thread.join(timeout=5)
    assert outcomes == [("RESERVATION_NOT_FOUND", "expired")]
    assert sale.shop.ledger.zone_facts(sale.event_id, "A").zones[0]["confirmed"] == 0


def test_new_terms_reach_a_zone_that_is_being_opened(sale: Sale, named: dict[str, Any]) -> None:
    zone = named["zone"].obj | {"zone_id": "B"}
    terms = named["event"].obj | {"max_per_user": 1}
    put: list[Any] = []
    with sale.shop.postgres.session(5) as opening:
        with opening.transaction():
            opening.execute(WRITERS["open_zone"].encode(), named | {"zone": Jsonb(zone)})

            def put_event() -> None:
                with sale.shop.postgres.session(5) as other:
                    put.extend(other.execute(WRITERS["put_event"].encode(), named | {"event": Jsonb(terms)}).fetchall())

            thread = threading.Thread(target=put_event)
            thread.start()
            thread.join(timeout=0.5)
            assert thread.is_alive(), "put_event did not wait for the zone"
        thread.join(timeout=5)
    assert put
    facts = sale.shop.ledger.zone_facts(sale.event_id, "B").zones[0]
    assert (facts["per_user"], facts["version"]) == (1, 2)


def test_a_pin_of_an_older_epoch_is_not_settled(sale: Sale, named: dict[str, Any]) -> None:
    sale.record()
    old = Jsonb([pin | {"epoch": pin["epoch"] - 1} for pin in named["pins"].obj])
    rows = sale.rows("SELECT outcome FROM booking.settle_bookings(%s)", old)
    assert rows == [("UNDECIDED",)]
    recorded = sale.shop.ledger.get_booking(named["booking_id"])
    assert recorded is not None
    assert recorded.status == "reserved"


def test_an_ending_of_a_dead_epoch_owns_no_key(sale: Sale) -> None:
    booking_id = sale.reserve(idempotency_key="k").booking.booking_id
    sale.shop.release("ann", booking_id)
    shard = shard_of_event(sale.event_id, len(sale.shop.shards))
    ended = [e for e in sale.shop.outbox.read(shard, 500) if e["kind"] == "released" and e["booking_id"] == booking_id]
    sale.shop.recorder.record([{**ended[0], "seq": "1-9"}])
    assert sale.keys() == []


def test_older_facts_of_a_user_do_not_overwrite_newer_ones(open_event: OpenEvent) -> None:
    sale = open_event(max_per_user=2)
    shard = shard_of_event(sale.event_id, len(sale.shop.shards))
    pins = [sale.shop.reservations.confirm(sale.reserve().booking.booking_id, "ann", None) for _ in range(2)]
    older, newer = (sale.shop.ledger.confirm_bookings([pin])[0] for pin in pins)
    for decision in (newer, older, newer, older):
        sale.shop.reservations.settle(shard, [decision.booking_id], {}, decision.learned)
    sale.refused("MAX_TICKETS_EXCEEDED", sale.reserve)


def test_a_settled_reservation_no_longer_counts_among_its_users_own(open_event: OpenEvent) -> None:
    sale = open_event(max_per_user=2)
    shard = shard_of_event(sale.event_id, len(sale.shop.shards))
    booking_id = sale.reserve().booking.booking_id
    sale.shop.confirm("ann", booking_id, None)
    assert sale.shop.reservations.mine("ann", [sale.event_id], []) == []
    sale.reserve()
    sale.clock.advance(HOLD_SECONDS)
    sale.reserve()  # the limit is reached: the walk over the user's own finds only what is live
    assert sale.shop.expire(shard).expired == 0


def test_past_a_users_limit_a_rebuild_keeps_the_oldest(open_event: OpenEvent) -> None:
    sale = open_event(max_per_user=2)
    first = sale.reserve(quantity=2).booking.booking_id
    sale.record()
    sale.shop.release("ann", first)
    sale.clock.advance(1)
    second = sale.reserve(quantity=2).booking.booking_id
    shard = shard_of_event(sale.event_id, len(sale.shop.shards))
    created = [e for e in sale.shop.outbox.read(shard, 500) if e["booking_id"] == second]
    sale.shop.recorder.record(created)  # the release before it is lost
    sale.shop.redis.command("FLUSHALL")
    reopen(sale.shop)
    assert [sale.shop.get("ann", b).status for b in (first, second)] == ["reserved", "expired"]


def test_the_server_gives_up_a_client_whose_host_is_gone_or_that_hangs_in_a_transaction(sale: Sale) -> None:
    """It may have locked a shard. Postgres' own defaults are two hours, and never."""
    wanted = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3"}
    wanted |= {"tcp_user_timeout": "10000", "idle_in_transaction_session_timeout": "10000"}
    asked = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)"
    with sale.shop.postgres.session(5) as session:
        assert dict(session.execute(asked, [list(wanted)]).fetchall()) == wanted
    assert dict(sale.shop.postgres.rows(asked, [list(wanted)])) == wanted
