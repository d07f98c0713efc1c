"""audit.lua and missing.lua on a real Redis: what differs closes its shard, and the rebuild brings it back."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from app.domain.ids import shard_of_event
from tests.support.controls import altered_script
from tests.support.edits import by_hand
from tests.support.seats import Sale, key_of

OpenEvent = Callable[..., Sale]


@pytest.fixture
def owner(database: str) -> Iterator[psycopg.Connection[Any]]:
    """Who may do to the tables what no function does."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def _shard(sale: Sale) -> int:
    return shard_of_event(sale.event_id, len(sale.shop.shards))


def _space(sale: Sale) -> str:
    return f"{{{_shard(sale):02}}}:{sale.shop.epochs.of(_shard(sale))}"


def _audit(sale: Sale) -> str:
    return sale.shop.audit(_shard(sale))


def _reopen(sale: Sale) -> None:
    sale.record()
    assert sale.shop.rebuild()(_shard(sale))
    sale.shop.epochs.refresh()


@pytest.fixture
def old_sale(sale: Sale, older: Callable[[], None]) -> Iterator[Sale]:
    """Ten seats: three held, one pinned, two confirmed; recorded, and registered for a while."""
    sale.reserve("ann", 3)
    sale.shop.reservations.confirm(sale.reserve("bob", 1).booking.booking_id, "bob", "pay-1")
    sale.shop.confirm("cid", sale.reserve("cid", 2).booking.booking_id, None)
    sale.record()
    older()
    assert _audit(sale) == ""
    yield sale
    if _shard(sale) in sale.shop.closed_shards():
        _reopen(sale)


@pytest.mark.parametrize(
    ("damage", "wrong"),
    [
        (("EDIT", "counts:{event}/A", {"held": 0}), r"zone {event}/A: held 0, reserved seats 4"),
        (("EDIT", "counts:{event}/A", {"held": "+1"}), r"zone {event}/A: held 5, reserved seats 4"),
        (("DEL", "counts:{event}/A"), r"zone {event}/A is missing"),
        (("DEL", "zone:{event}/A"), r"zone {event}/A is missing"),
        (("DEL", "deadlines:{event}/A"), r"zone {event}/A: held 4, reserved seats 1"),
        (("DEL", "u:{event}/ann"), r"{booking} is missing with its user"),
        (("DEL", "r:{booking}"), r"{booking} is missing"),
        (("DEL", "r:{pinned}"), r"pinned {pinned} is missing"),
        (("DEL", "pins"), r"zone {event}/A: held 4, reserved seats 3"),
        (("DEL", "due"), r"its earliest deadline is not known"),  # of the first zone of the shard
        (("EDIT", "counts:{event}/A", {"due": 0}), r"zone {event}/A: its earliest deadline is not known"),
        (("EDIT", "u:{event}/ann", {"held": "-1"}), r"user {event}/ann: held 2, reserved seats 3"),
        (
            ("EDIT", "zone:{event}/A", {"confirmed": 1}),
            r"zone {event}/A: capacity, confirmed and price are 10, 1, 15000, not 10, 2, 15000",
        ),
        (("EDIT", "zone:{event}/A", {"version": 1002}), r"zone {event}/A: version 1002, and Postgres has 2"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) and value[0] == "DEL" else None,
)
def test_what_was_edited_by_hand_closes_the_shard_and_the_rebuild_brings_it_back(
    old_sale: Sale, damage: tuple[Any, ...], wrong: str
) -> None:
    sale = old_sale
    of_user = dict(
        sale.rows("SELECT user_id, booking_id::text FROM booking.bookings WHERE event_id = %s", sale.event_id)
    )
    names = {"event": sale.event_id, "booking": of_user["ann"], "pinned": of_user["bob"]}
    verb, key, *rest = damage
    name = key_of(f"{_space(sale)}:{key.format(**names)}")
    by_hand(sale.shop.redis.command, verb, name, *rest)
    assert wrong.format(**names) in _audit(sale)
    sale.refused("SERVICE_UNAVAILABLE", sale.reserve, "dan")
    _reopen(sale)
    assert _audit(sale) == ""
    seats = sale.seats()
    assert (seats.capacity, seats.confirmed, seats.held, seats.available) == (10, 2, 4, 4)


def test_a_stream_that_is_older_than_its_record_closes_the_shard(old_sale: Sale) -> None:
    sale = old_sale
    sale.shop.redis.command("DEL", f"{{{_shard(sale):02}}}:outbox")
    assert "is behind" in _audit(sale)
    sale.refused("SERVICE_UNAVAILABLE", sale.reserve, "dan")


def test_a_ceiling_that_no_sweeper_would_find_closes_the_shard(old_sale: Sale) -> None:
    sale = old_sale
    sale.shop.reservations.ceiling(sale.event_id, "A", 8)
    assert _audit(sale) == ""
    sale.shop.redis.command("DEL", f"{_space(sale)}:ceilings")
    assert _audit(sale) == f"zone {sale.event_id}/A: its ceiling is not known"


def test_facts_that_change_while_they_are_looked_at_are_no_difference(
    old_sale: Sale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = old_sale
    registered = type(sale.shop.ledger).registered

    def read_then_confirm(ledger: Any, shard: int) -> Any:
        read = registered(ledger, shard)
        sale.shop.confirm("eve", sale.reserve("eve").booking.booking_id, None)
        return read

    monkeypatch.setattr(type(sale.shop.ledger), "registered", read_then_confirm)
    assert _audit(sale) == ""


def test_a_zone_that_was_opened_a_moment_ago_may_be_unknown_to_redis(sale: Sale) -> None:
    sale.shop.redis.command("DEL", *(f"{_space(sale)}:{what}:{sale.event_id}/A" for what in ("zone", "counts")))
    assert _audit(sale) == ""
    sale.shop.reservations.learn(_shard(sale), sale.shop.ledger.zone_facts(sale.event_id, "A"))
    sale.reserve()


def test_facts_for_a_zone_that_lost_its_figures_close_the_shard_instead_of_selling_held_seats_again(
    sale: Sale,
) -> None:
    sale.reserve("ann", 9)
    sale.record()
    sale.shop.redis.command("DEL", f"{_space(sale)}:zone:{sale.event_id}/A")
    sale.shop.reservations.learn(_shard(sale), sale.shop.ledger.zone_facts(sale.event_id, "A"))
    sale.refused("SERVICE_UNAVAILABLE", sale.reserve, "bob", 2)
    _reopen(sale)
    sale.refused("INSUFFICIENT_SEATS", sale.reserve, "bob", 2)


def test_a_call_looks_at_a_bounded_number_of_reservations_and_the_next_goes_on(
    open_event: OpenEvent, older: Callable[[], None]
) -> None:
    sales = [open_event(capacity=100, max_per_user=100) for _ in range(20)]
    sale = next(one for one in sales[1:] if _shard(one) in {_shard(other) for other in sales if other is not one})
    for one in sales:
        for _ in range(12):
            one.reserve()
    older()
    with altered_script("audit", "LOOKS = 500", "LOOKS = 10"):
        registered = sale.shop.ledger.registered(_shard(sale))
        done, wrong, _ = sale.shop.reservations.audit(_shard(sale), registered, 0)
        assert wrong == ""
        assert done < len(registered.zones)
        assert _audit(sale) == ""
        by_hand(sale.shop.redis.command, "EDIT", f"{_space(sale)}:counts:{sale.event_id}/A", {"held": 11})
        assert "held 11, reserved seats 12" in _audit(sale)
    _reopen(sale)


def test_a_zone_of_too_many_reservations_to_add_up_has_a_seat_for_each_and_some_of_them_are_looked_at(
    open_event: OpenEvent, older: Callable[[], None]
) -> None:
    sale = open_event(capacity=100, max_per_user=100)
    for _ in range(70):
        sale.reserve()
    older()
    counts = f"{_space(sale)}:counts:{sale.event_id}/A"
    with altered_script("audit", "SUMS = 320", "SUMS = 0"):
        assert _audit(sale) == ""
        by_hand(sale.shop.redis.command, "EDIT", counts, {"held": 71})
        assert _audit(sale) == ""  # what one call cannot add up is not compared
        by_hand(sale.shop.redis.command, "EDIT", counts, {"held": 69})
        assert "held 69, reservations 70" in _audit(sale)
    _reopen(sale)
    bookings = [sale.reserve().booking.booking_id for _ in range(5)]
    with altered_script("audit", "LOOKS = 500", "LOOKS = 5"):
        sale.shop.redis.command("DEL", *(key_of(f"{_space(sale)}:r:{booking}") for booking in bookings))
        for _ in range(40):
            if wrong := _audit(sale):
                break
            sale.clock.advance(0.001)
        assert "is missing" in wrong
    _reopen(sale)


def test_an_end_that_waits_for_kafka_is_not_decided_again(sale: Sale, owner: psycopg.Connection[Any]) -> None:
    """Kafka is away for more than the hour for which Redis keeps what has ended."""
    released = sale.reserve("ann", 2).booking.booking_id
    sale.record()
    sale.shop.release("ann", released)
    sale.shop.redis.command("DEL", key_of(f"{_space(sale)}:r:{released}"))
    owner.execute("UPDATE booking.bookings SET deadline = clock_timestamp() - interval '61 s'")
    assert sale.shop.audit.settle_stale(_shard(sale)) == 0
    sale.record()
    assert sale.history(released)[-1][1] == "released"


def test_what_redis_does_not_know_a_minute_past_its_deadline_is_ended_by_postgres(
    sale: Sale, owner: psycopg.Connection[Any]
) -> None:
    forgotten, known, pinned = (sale.reserve(user, 2).booking.booking_id for user in ("ann", "bob", "cid"))
    sale.shop.reservations.confirm(pinned, "cid", "pay-1")
    sale.record()
    sale.shop.redis.command("DEL", key_of(f"{_space(sale)}:r:{forgotten}"))
    assert sale.shop.audit.settle_stale(_shard(sale)) == 0  # its deadline is yet to come
    owner.execute("UPDATE booking.bookings SET deadline = clock_timestamp() - interval '61 s'")
    assert sale.shop.audit.settle_stale(_shard(sale)) == 1
    assert sale.history(forgotten)[-1][1:] == ("expired", "unconfirmed")
    assert [sale.history(other)[-1][1] for other in (known, pinned)] == ["reserved", "reserved"]
    assert sale.shop.audit.settle_stale(_shard(sale)) == 0
