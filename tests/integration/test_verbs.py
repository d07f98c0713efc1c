"""extend, cancel, capacity cuts, history, list, summary and inventory on real stores."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from app.domain.errors import refusal
from app.domain.ids import shard_of_event
from app.domain.model import Seats, Zone
from tests.support.seats import HOLD_SECONDS, PRICE_MINOR, Sale, reopen

OpenEvent = Callable[..., Sale]


@pytest.fixture
def sale(open_event: OpenEvent) -> Iterator[Sale]:
    sale = open_event(hold_seconds_max=HOLD_SECONDS * 2 + 100)
    yield sale
    reopen(sale.shop)


def _shard(sale: Sale) -> int:
    return shard_of_event(sale.event_id, len(sale.shop.shards))


def _zone(sale: Sale, capacity: int) -> Zone:
    return Zone(
        event_id=sale.event_id, zone_id="A", name="A", capacity=capacity, price_minor=PRICE_MINOR, currency="THB"
    )


def _sweep(sale: Sale) -> None:
    sale.shop.expire(_shard(sale))


# --- extend ---


def test_each_extension_moves_the_deadline_up_to_the_cap(sale: Sale) -> None:
    booking = sale.reserve().booking
    extend = sale.shop.extend
    assert extend("ann", booking.booking_id, None).booking.deadline_ms == booking.deadline_ms + HOLD_SECONDS * 1000
    cap = booking.reserved_at_ms + (HOLD_SECONDS * 2 + 100) * 1000
    assert extend("ann", booking.booking_id, None).booking.deadline_ms == cap
    sale.refused("HOLD_LIMIT_REACHED", extend, "ann", booking.booking_id, None)
    sale.clock.advance(HOLD_SECONDS)
    _sweep(sale)
    assert sale.shop.get("ann", booking.booking_id).status == "reserved"
    sale.clock.advance(HOLD_SECONDS + 100)
    _sweep(sale)
    assert sale.shop.get("ann", booking.booking_id).status == "expired"
    assert sale.seats().available == 10


def test_an_extended_reservation_goes_on_counting_against_its_users_limit(open_event: OpenEvent) -> None:
    sale = open_event(max_per_user=1)
    booking_id = sale.reserve().booking.booking_id
    sale.shop.extend("ann", booking_id, None)
    sale.clock.advance(HOLD_SECONDS)
    sale.refused("MAX_TICKETS_EXCEEDED", sale.reserve)
    assert sale.shop.get("ann", booking_id).status == "reserved"


def test_an_extension_with_a_key_moves_the_deadline_once(sale: Sale) -> None:
    booking_id = sale.reserve().booking.booking_id
    other = sale.reserve().booking.booking_id
    first = sale.shop.extend("ann", booking_id, "k")
    again = sale.shop.extend("ann", booking_id, "k")
    assert (first.replayed, again.replayed) == (False, True)
    assert again.booking.deadline_ms == first.booking.deadline_ms
    sale.refused("IDEMPOTENCY_KEY_REUSED", sale.shop.extend, "ann", other, "k")
    sale.reserve(idempotency_key="k")  # another verb: another key


def test_extensions_and_their_keys_survive_a_rebuild(sale: Sale) -> None:
    booking_id = sale.reserve().booking.booking_id
    deadline = sale.shop.extend("ann", booking_id, "k").booking.deadline_ms
    sale.record()
    sale.shop.redis.command("FLUSHALL")
    reopen(sale.shop)
    assert sale.shop.get("ann", booking_id).deadline_ms == deadline
    assert sale.shop.extend("ann", booking_id, "k").replayed
    sale.clock.advance(HOLD_SECONDS)
    sale.reserve("ann", 9)
    sale.refused("INSUFFICIENT_SEATS", sale.reserve, "bob")


@pytest.mark.parametrize("order", [1, -1])
def test_extensions_are_recorded_in_any_order_and_only_forward(sale: Sale, order: int) -> None:
    booking_id = sale.reserve().booking.booking_id
    sale.shop.extend("ann", booking_id, None)
    last = sale.shop.extend("ann", booking_id, None).booking.deadline_ms
    entries = sale.shop.outbox.read(_shard(sale), 100)[::order]
    for entry in [*entries, *entries]:
        sale.shop.recorder.record([entry])
    recorded = sale.shop.ledger.get_booking(booking_id)
    assert recorded is not None
    assert (recorded.deadline_ms, recorded.version) == (last, 3)
    assert [row[2] for row in sale.history(booking_id)] == ["reserve", "extend", "extend"]


def test_an_extend_that_is_asked_again_is_answered_the_same_whatever_became_of_the_reservation(sale: Sale) -> None:
    booking_id = sale.reserve().booking.booking_id
    first = sale.shop.extend("ann", booking_id, "k").booking
    sale.shop.release("ann", booking_id)
    again = sale.shop.extend("ann", booking_id, "k")
    assert again.replayed
    assert (again.booking.status, again.booking.deadline_ms) == (first.status, first.deadline_ms)


def test_what_is_confirmed_or_over_is_not_extended(sale: Sale) -> None:
    booking_id = sale.reserve().booking.booking_id
    pin = sale.shop.reservations.confirm(booking_id, "ann", None)
    sale.refused("CONFIRMATION_IN_PROGRESS", sale.shop.extend, "ann", booking_id, None)
    sale.shop.ledger.confirm_bookings([pin])
    sale.refused("ALREADY_CONFIRMED", sale.shop.extend, "ann", booking_id, None)
    late = sale.reserve().booking.booking_id
    sale.clock.advance(HOLD_SECONDS)
    refused = sale.refused("RESERVATION_NOT_FOUND", sale.shop.extend, "ann", late, "k")
    assert refused.extensions == {"reason": "expired"}
    sale.refused("RESERVATION_NOT_FOUND", sale.shop.extend, "bob", late, None)


# --- keys, after a day ---


def test_a_key_may_be_used_again_after_a_day_of_the_clock_that_decides(sale: Sale) -> None:
    first = sale.reserve(idempotency_key="k").booking.booking_id
    sale.clock.advance(24 * 3600 - 1)
    assert sale.reserve(idempotency_key="k").booking.booking_id == first
    sale.refused("IDEMPOTENCY_KEY_REUSED", sale.reserve, "ann", 2, idempotency_key="k")
    sale.clock.advance(1)
    second = sale.reserve("ann", 2, idempotency_key="k")
    assert not second.replayed
    sale.record()
    assert sale.keys() == [("k", second.booking.booking_id)]


# --- cancel ---


def test_a_confirmed_booking_is_cancelled_once_and_its_seats_are_on_sale_again(sale: Sale) -> None:
    booking_id = sale.reserve("ann", 4).booking.booking_id
    sale.shop.confirm("ann", booking_id, "card")
    first = sale.shop.cancel("ann", booking_id, "ill")
    assert first.status == "cancelled"
    assert sale.seats() == Seats(capacity=10, confirmed=0, held=0, available=10)
    assert sale.shop.cancel("ann", booking_id, "again") == first
    assert sale.seats().available == 10
    assert sale.rows("SELECT type FROM booking.outbox WHERE key = %s ORDER BY 1", booking_id) == [
        ("booking.cancelled",),
        ("booking.confirmed",),
    ]
    assert sale.rows("SELECT cancel_reason FROM booking.bookings WHERE booking_id = %s", booking_id) == [("ill",)]
    for verb, rest in ((sale.shop.confirm, ("card",)), (sale.shop.release, ()), (sale.shop.extend, (None,))):
        refused = sale.refused("RESERVATION_NOT_FOUND", verb, "ann", booking_id, *rest)
        assert refused.extensions == {"reason": "cancelled"}
    sale.refused("RESERVATION_NOT_FOUND", sale.shop.cancel, "bob", booking_id, None)
    sale.reserve("ann", 10)


def test_a_reservation_is_cancelled_as_it_is_released(sale: Sale) -> None:
    booking_id = sale.reserve("ann", 4).booking.booking_id
    assert sale.shop.cancel("ann", booking_id, None).status == "released"
    refused = sale.refused("RESERVATION_NOT_FOUND", sale.shop.cancel, "ann", booking_id, None)
    assert refused.extensions == {"reason": "released"}
    assert sale.seats().available == 10


def test_a_confirm_that_was_not_settled_is_cancelled_whole(sale: Sale) -> None:
    booking_id = sale.reserve("ann", 4).booking.booking_id
    pin = sale.shop.reservations.confirm(booking_id, "ann", None)
    sale.refused("CONFIRMATION_IN_PROGRESS", sale.shop.cancel, "ann", booking_id, None)
    sale.shop.ledger.confirm_bookings([pin])
    assert sale.shop.cancel("ann", booking_id, None).status == "cancelled"
    assert sale.seats() == Seats(capacity=10, confirmed=0, held=0, available=10)


# --- capacity ---


def test_a_capacity_is_cut_down_to_what_is_in_use_and_no_further(sale: Sale) -> None:
    sale.shop.confirm("ann", sale.reserve("ann", 2).booking.booking_id, None)
    sale.reserve("bob", 3)
    refused = sale.refused("CAPACITY_IN_USE", sale.shop.open_zone, _zone(sale, 4))
    assert refused.extensions == {"in_use": 5}
    assert sale.shop.open_zone(_zone(sale, 6)) is False
    assert sale.seats() == Seats(capacity=6, confirmed=2, held=3, available=1)
    sale.reserve("cy", 1)
    sale.refused("INSUFFICIENT_SEATS", sale.reserve, "dee", 1)
    sale.shop.open_zone(_zone(sale, 8))
    sale.reserve("dee", 2)


def test_seats_whose_deadline_has_passed_do_not_stop_a_cut(sale: Sale) -> None:
    sale.reserve("bob", 10)
    sale.clock.advance(HOLD_SECONDS)
    sale.shop.open_zone(_zone(sale, 1))
    assert sale.seats() == Seats(capacity=1, confirmed=0, held=0, available=1)


def test_a_zone_that_redis_has_not_heard_of_yet_can_be_cut(sale: Sale, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was opened while Redis was away, and the worker is too."""
    zone = replace(_zone(sale, 5), zone_id="B")

    def is_away(*_: Any) -> None:
        raise refusal("SERVICE_UNAVAILABLE")

    with monkeypatch.context() as away:
        away.setattr(type(sale.shop.reservations), "learn", is_away)
        assert sale.shop.open_zone(zone) is True
    assert sale.shop.open_zone(replace(zone, capacity=3)) is False


def test_no_seat_above_a_ceiling_is_promised_and_only_one_stands(sale: Sale) -> None:
    sale.shop.reservations.ceiling(sale.event_id, "A", 3)  # and the web process dies
    sale.reserve("ann", 2)
    sale.refused("INSUFFICIENT_SEATS", sale.reserve, "bob", 2)
    sale.refused("CAPACITY_IN_USE", sale.shop.reservations.ceiling, sale.event_id, "A", 5)
    assert sale.seats() == Seats(capacity=10, confirmed=0, held=2, available=1)
    sale.shop.confirm(
        "cy", sale.reserve("cy").booking.booking_id, None
    )  # newer facts, which do not tell of the ceiling
    sale.refused("INSUFFICIENT_SEATS", sale.reserve, "bob")


def test_an_abandoned_ceiling_is_voided_before_it_is_lifted_so_that_its_commit_comes_too_late(sale: Sale) -> None:
    ceiling = sale.shop.reservations.ceiling(sale.event_id, "A", 3)
    sale.clock.advance(sale.shop.expire.pin_limit_ms / 1000)
    _sweep(sale)
    assert sale.seats().available == 10
    sale.refused("CAPACITY_IN_USE", sale.shop.ledger.open_zone, _zone(sale, 3), ceiling)
    sale.shop.open_zone(_zone(sale, 4))  # the next one has another number
    assert sale.seats().capacity == 4


def test_a_cut_of_an_older_epoch_comes_too_late(sale: Sale) -> None:
    ceiling = sale.shop.reservations.ceiling(sale.event_id, "A", 3)
    sale.shop.redis.command("FLUSHALL")
    reopen(sale.shop)
    sale.reserve("ann", 8)
    sale.refused("CAPACITY_IN_USE", sale.shop.ledger.open_zone, _zone(sale, 3), ceiling)
    assert sale.shop.ledger.void_ceiling(ceiling).zones == ()
    assert sale.seats().capacity == 10


# --- reading ---


def _causes(sale: Sale, booking_id: str) -> list[tuple[int, str, str]]:
    return [(t.version, t.status, t.cause) for t in sale.shop.history("ann", booking_id).transitions]


def test_history_tells_each_transition_before_and_after_it_is_recorded(sale: Sale) -> None:
    booking_id = sale.reserve().booking.booking_id
    assert _causes(sale, booking_id) == [(1, "reserved", "reserve")]
    sale.shop.extend("ann", booking_id, None)
    told = [(1, "reserved", "reserve"), (2, "reserved", "extend")]
    assert _causes(sale, booking_id) == told
    sale.record()
    assert _causes(sale, booking_id) == told
    sale.shop.release("ann", booking_id)
    told.append((3, "released", "release"))
    assert _causes(sale, booking_id) == told
    sale.record()
    assert _causes(sale, booking_id) == told
    sale.refused("RESERVATION_NOT_FOUND", sale.shop.history, "bob", booking_id)


def test_history_of_a_cancelled_booking_is_whole(sale: Sale) -> None:
    booking_id = sale.reserve().booking.booking_id
    sale.shop.confirm("ann", booking_id, None)
    sale.shop.cancel("ann", booking_id, None)
    assert [cause for _, _, cause in _causes(sale, booking_id)] == ["reserve", "confirm", "cancel"]


def _listed(sale: Sale, **asked: Any) -> list[tuple[str, str]]:
    page = sale.shop.list_bookings(
        "ann", sale.event_id, asked.get("status"), asked.get("before"), asked.get("limit", 50)
    )
    return [(booking.booking_id, booking.status) for booking in page.bookings]


def test_a_list_shows_ones_own_writes_at_once(sale: Sale) -> None:
    held, released, confirmed = (sale.reserve("ann").booking.booking_id for _ in range(3))
    sale.reserve("bob")
    assert set(_listed(sale)) == {(held, "reserved"), (released, "reserved"), (confirmed, "reserved")}
    sale.record()
    sale.shop.release("ann", released)
    sale.shop.confirm("ann", confirmed, None)
    assert set(_listed(sale)) == {(held, "reserved"), (released, "released"), (confirmed, "confirmed")}
    assert _listed(sale, status="reserved") == [(held, "reserved")]
    assert _listed(sale, status="released") == [(released, "released")]
    sale.clock.advance(HOLD_SECONDS)
    assert (held, "expired") in _listed(sale)


def test_pages_of_a_list_join_without_a_gap(open_event: OpenEvent) -> None:
    sale = open_event(capacity=50, max_per_user=50)
    everything = set()
    for n in range(25):
        everything.add(sale.reserve("ann").booking.booking_id)
        if n == 12:
            sale.record()
    seen: list[str] = []
    before = None
    for _ in range(10):
        page = sale.shop.list_bookings("ann", sale.event_id, None, before, 7)
        seen += [booking.booking_id for booking in page.bookings]
        if (before := page.next_before) is None:
            break
    assert len(seen) == 25
    assert seen == sorted(everything, reverse=True)


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("read", ["list_bookings", "mine"])
def test_what_is_confirmed_while_a_list_is_read_is_in_it(
    sale: Sale, monkeypatch: pytest.MonkeyPatch, read: str, recorded: bool
) -> None:
    """Behind either store's first answer; Redis forgets a booking when Postgres has it."""
    booking_id = sale.reserve("ann").booking.booking_id
    if recorded:
        sale.record()
    owner = type(sale.shop.ledger if read == "list_bookings" else sale.shop.reservations)
    real = getattr(owner, read)

    def confirmed_behind_it(*arguments: Any) -> Any:
        answer = real(*arguments)
        monkeypatch.undo()
        sale.record()
        sale.shop.confirm("ann", booking_id, None)
        return answer

    monkeypatch.setattr(owner, read, confirmed_behind_it)
    assert [listed for listed, _ in _listed(sale)] == [booking_id]
    assert _listed(sale) == [(booking_id, "confirmed")]


def test_a_list_over_all_events_finds_what_only_redis_knows(open_event: OpenEvent) -> None:
    sales = [open_event(), open_event()]
    ids = {sale.reserve("zoe").booking.booking_id for sale in sales}
    page = sales[0].shop.list_bookings("zoe", None, None, None, 50)
    assert {booking.booking_id for booking in page.bookings} == ids


def test_a_summary_counts_each_seat_once(sale: Sale) -> None:
    sale.shop.confirm("ann", sale.reserve("ann", 2).booking.booking_id, None)
    sale.reserve("ann", 3)
    unsettled = sale.reserve("ann", 1).booking.booking_id
    sale.shop.ledger.confirm_bookings([sale.shop.reservations.confirm(unsettled, "ann", None)])
    count = sale.shop.summary("ann", sale.event_id)
    assert (count.held, count.confirmed, count.allowed, count.remaining) == (3, 3, 10, 4)
    sale.clock.advance(HOLD_SECONDS)
    assert sale.shop.summary("ann", sale.event_id).held == 0
    sale.refused("EVENT_NOT_FOUND", sale.shop.summary, "ann", "no-such-event")


def test_the_inventory_shows_drift_until_everything_is_recorded(sale: Sale) -> None:
    sale.reserve("ann", 2)
    ((compared),) = sale.shop.inventory(sale.event_id)
    assert compared.drift == {"capacity": 0, "confirmed": 0, "held": 2}
    sale.record()
    ((compared),) = sale.shop.inventory(sale.event_id)
    assert compared.drift == {"capacity": 0, "confirmed": 0, "held": 0}
    assert compared.redis is not None
    assert compared.redis.version == compared.stock.version


def test_a_zone_that_was_forgotten_with_its_reservations_closes_its_shard(sale: Sale) -> None:
    sale.reserve("ann", 10)
    sale.record()
    epoch = sale.shop.epochs.of(_shard(sale))
    sale.shop.redis.command("DEL", f"{{{_shard(sale):02}}}:{epoch}:zone:{sale.event_id}/A")
    sale.refused("SERVICE_UNAVAILABLE", sale.reserve, "bob")
    reopen(sale.shop)
    sale.refused("INSUFFICIENT_SEATS", sale.reserve, "bob")
    assert replace(sale.seats(), version=0) == Seats(capacity=10, confirmed=0, held=10, available=0)
