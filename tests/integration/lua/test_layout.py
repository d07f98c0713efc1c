"""What Redis keeps, and that what an earlier version has kept is never misread."""

from collections.abc import Callable

import msgpack
import pytest

from app.domain.ids import new_booking_id, shard_of_event
from app.stores import keys
from app.stores.outboxes import RedisOutbox
from tests.support.seats import Sale, reopen
from worker.events import encode_log

TWO_DAYS = 2 * 24 * 3600


def _shard(sale: Sale) -> int:
    return shard_of_event(sale.event_id, len(sale.shop.shards))


def test_a_shard_that_was_installed_in_another_layout_is_closed_and_its_rebuild_opens_it(sale: Sale) -> None:
    booking_id = sale.reserve("ann", 3).booking.booking_id
    sale.record()
    epoch = keys.epoch(_shard(sale))
    before, _, layout = sale.shop.redis.command("GET", epoch).rpartition(" ")
    assert layout == str(keys.LAYOUT)
    sale.shop.redis.command("SET", epoch, before)  # as layout 1 had it, which had no number
    sale.refused("SERVICE_UNAVAILABLE", sale.reserve)
    reopen(sale.shop)
    assert sale.shop.get("ann", booking_id).status == "reserved"
    assert sale.seats().held == 3


def test_an_entry_of_the_outbox_from_before_layout_2_is_read_as_it_was_told(sale: Sale) -> None:
    sale.record()
    booking_id, digest = new_booking_id(_shard(sale)), "d" * 32
    at_rest = (
        *(sale.event_id, "A", "ann", 2, 777, "THB", 1_000, 61_000, 90_000, 1),
        *("reserved", 0, 0, "", "my key", "f" * 32, digest, 61_000, 1_000),
    )
    told = booking_id.encode() + msgpack.packb(at_rest)
    seq = sale.shop.redis.command(
        "XADD", keys.outbox(_shard(sale)), f"{sale.shop.epochs.of(_shard(sale))}-*", "created", told
    )
    try:
        (entry,) = RedisOutbox(sale.shop.redis).read(_shard(sale), 10)
        assert entry == {
            "seq": seq,
            "kind": "created",
            "booking_id": booking_id,
            "event_id": sale.event_id,
            "zone_id": "A",
            "user_id": "ann",
            "quantity": 2,
            "unit_price_minor": 777,
            "currency": "THB",
            "version": 1,
            "reserved_at_ms": 1_000,
            "deadline_ms": 61_000,
            "at_ms": 1_000,
            "idempotency_key": "my key",
            "fingerprint": "f" * 32,
        }
    finally:
        sale.shop.redis.command("XDEL", keys.outbox(_shard(sale)), seq)


@pytest.mark.parametrize("user", [b"an\xff", 7], ids=["no UTF-8", "no text"])
def test_an_entry_that_no_json_can_tell_keeps_its_number_and_those_behind_it_go_on(sale: Sale, user: object) -> None:
    """Somebody has put it there by hand."""
    sale.record()
    at_rest = (sale.event_id, "A", user, 2, 777, "THB", 1_000, 60_000, 90_000, 1, "", "", 60)
    told = bytes(16) + msgpack.packb(at_rest, use_bin_type=False)
    stream, epoch = keys.outbox(_shard(sale)), sale.shop.epochs.of(_shard(sale))
    seq = sale.shop.redis.command("XADD", stream, f"{epoch}-*", "created", told)
    try:
        (entry,) = sale.shop.outbox.read(_shard(sale), 10)
        assert entry == {"seq": seq, "kind": "created", "booking_id": "00000000-0000-0000-0000-000000000000"}
        assert encode_log("reservation.log", _shard(sale), [entry]).value
    finally:
        sale.shop.redis.command("XDEL", stream, seq)


def test_a_reservation_whose_key_is_anothers_after_a_day_is_still_its_users(open_event: Callable[..., Sale]) -> None:
    sale = open_event(hold_seconds=TWO_DAYS, hold_seconds_max=TWO_DAYS)
    first = sale.reserve("ann", 2, idempotency_key="k").booking.booking_id
    sale.clock.advance(24 * 3600 + 1)
    second = sale.reserve("ann", 1, idempotency_key="k")
    assert not second.replayed
    mine = sale.shop.reservations.mine("ann", [sale.event_id], [])
    assert {seen.booking.booking_id for seen in mine} == {first, second.booking.booking_id}
    sale.shop.release("ann", first)
    assert sale.reserve("ann", 1, idempotency_key="k").booking.booking_id == second.booking.booking_id
    sale.shop.release("ann", second.booking.booking_id)
    assert sale.shop.reservations.mine("ann", [sale.event_id], []) == []
    assert sale.seats().held == 0


def test_a_user_of_more_reservations_than_one_value_lists_has_them_all(open_event: Callable[..., Sale]) -> None:
    terms = {"hold_seconds": TWO_DAYS, "hold_seconds_max": TWO_DAYS, "max_per_user": 100}
    sale = open_event(capacity=100, **terms)
    shop, keyed = sale.shop, {}
    for n in range(40):
        key = f"k-{n}" if n % 2 else None
        booking_id = sale.reserve("ann", 1, idempotency_key=key).booking.booking_id
        if key:
            keyed[key] = booking_id

    def mine() -> set[str]:
        return {seen.booking.booking_id for seen in shop.reservations.mine("ann", [sale.event_id], [])}

    live = mine()
    assert len(live) == 40
    assert live >= set(keyed.values())
    sale.record()
    for _ in range(2):
        for key, booking_id in keyed.items():
            again = sale.reserve("ann", 1, idempotency_key=key)
            assert (again.replayed, again.booking.booking_id) == (True, booking_id)
        assert shop.audit(_shard(sale)) == ""
        assert mine() == live
        shop.redis.command("FLUSHALL")
        reopen(shop)
    sale.clock.advance(24 * 3600 + 1)
    later = sale.reserve("ann", 1, idempotency_key="k-39").booking.booking_id
    assert later not in live
    assert mine() == live | {later}
    for booking_id in [*live, later]:
        shop.release("ann", booking_id)
        assert shop.audit(_shard(sale)) == ""
    assert mine() == set()
    assert sale.seats().held == 0
    assert sale.reserve("ann", 1, idempotency_key="k-39").booking.booking_id == later
    assert shop.redis.command("KEYS", f"*:more:{sale.event_id}/*") == []
