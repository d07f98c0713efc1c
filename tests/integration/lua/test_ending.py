"""The scripts that end a reservation, on a real Redis: it ends once, and its seats are credited once."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.domain.errors import Refusal
from app.domain.ids import shard_of_event
from app.domain.model import Learned, Seats
from app.wiring import Wiring
from tests.support.controls import altered_script
from tests.support.seats import HOLD_SECONDS, Clock, Sale, key_of

OpenEvent = Callable[..., Sale]


def _shard(sale: Sale) -> int:
    return shard_of_event(sale.event_id, len(sale.shop.shards))


@pytest.fixture(autouse=True)
def _others_have_ended(shop: Wiring, clock: Clock) -> None:
    """What other tests have left in the same shard is not to be swept by this one."""
    clock.advance(HOLD_SECONDS * 3)
    for shard in shop.shards:
        shop.reservations.expire(shard, 500, 10**12)


def _sweep(sale: Sale) -> int:
    return sale.shop.expire(_shard(sale)).expired


def test_a_release_gives_the_seats_back_and_a_second_one_finds_nothing(sale: Sale) -> None:
    booking_id = sale.reserve(quantity=4).booking.booking_id
    assert sale.shop.release("ann", booking_id).status == "released"
    refused = sale.refused("RESERVATION_NOT_FOUND", sale.shop.release, "ann", booking_id)
    assert refused.extensions == {"reason": "released"}
    assert sale.seats() == Seats(capacity=10, confirmed=0, held=0, available=10)


def test_what_has_ended_is_no_longer_among_its_users_own(sale: Sale) -> None:
    kept, ended = (sale.reserve().booking.booking_id for _ in range(2))
    sale.shop.release("ann", ended)
    assert [seen.booking.booking_id for seen in sale.shop.reservations.mine("ann", [sale.event_id], [])] == [kept]


def test_twenty_releases_at_once_credit_the_seats_once(sale: Sale) -> None:
    sale.reserve("bob", 5)
    booking_id = sale.reserve("ann", 5).booking.booking_id
    start = threading.Barrier(20)

    def release(_: int) -> str:
        start.wait(timeout=10)
        try:
            return sale.shop.release("ann", booking_id).status
        except Refusal as refused:
            return refused.kind.code

    with ThreadPoolExecutor(20) as pool:
        outcomes = Counter(pool.map(release, range(20)))
    assert outcomes == {"released": 1, "RESERVATION_NOT_FOUND": 19}
    assert sale.seats().available == 5


def test_somebody_elses_reservation_does_not_exist(sale: Sale) -> None:
    booking_id = sale.reserve("ann").booking.booking_id
    for verb in (sale.shop.release, sale.shop.get):
        refused = sale.refused("RESERVATION_NOT_FOUND", verb, "bob", booking_id)
        assert refused.extensions == {"reason": "unknown"}
    sale.refused("RESERVATION_NOT_FOUND", sale.shop.confirm, "bob", booking_id, None)
    assert sale.seats().held == 1


def test_the_sweeper_ends_what_is_due_and_nothing_else(sale: Sale) -> None:
    due = sale.reserve("ann", 2).booking.booking_id
    sale.clock.advance(HOLD_SECONDS / 2)
    live = sale.reserve("bob", 3).booking.booking_id
    sale.clock.advance(HOLD_SECONDS / 2)
    assert _sweep(sale) == 1
    assert _sweep(sale) == 0
    assert sale.shop.get("ann", due).status == "expired"
    assert sale.shop.get("bob", live).status == "reserved"
    assert sale.seats() == Seats(capacity=10, confirmed=0, held=3, available=7)


def test_a_sweep_ends_a_batch_at_a_time_and_says_that_more_are_due(open_event: OpenEvent) -> None:
    sale = open_event(capacity=20)
    for n in range(7):
        sale.reserve(f"user-{n}")
    sale.clock.advance(HOLD_SECONDS)
    expire = sale.shop.expire
    swept = [sale.shop.reservations.expire(_shard(sale), 3, expire.pin_limit_ms) for _ in range(3)]
    assert [(s.expired, s.more) for s in swept] == [(3, True), (3, True), (1, False)]


def test_a_passed_deadline_shows_before_anybody_has_swept(sale: Sale) -> None:
    booking_id = sale.reserve().booking.booking_id
    sale.clock.advance(HOLD_SECONDS)
    assert sale.shop.get("ann", booking_id).status == "expired"
    for verb, rest in ((sale.shop.confirm, (None,)), (sale.shop.release, ())):
        refused = sale.refused("RESERVATION_NOT_FOUND", verb, "ann", booking_id, *rest)
        assert refused.extensions == {"reason": "expired"}


def test_what_is_pinned_neither_expires_nor_is_released(sale: Sale) -> None:
    booking_id = sale.reserve().booking.booking_id
    sale.shop.reservations.confirm(booking_id, "ann", "card")
    sale.clock.advance(HOLD_SECONDS * 10)
    assert sale.shop.reservations.expire(_shard(sale), 500, 10**12).expired == 0
    sale.refused("CONFIRMATION_IN_PROGRESS", sale.shop.release, "ann", booking_id)
    assert sale.seats().held == 1


def test_pinning_again_with_the_same_payment_is_the_same_pin(sale: Sale) -> None:
    booking_id = sale.reserve().booking.booking_id
    first = sale.shop.reservations.confirm(booking_id, "ann", "card")
    sale.clock.advance(5)
    assert sale.shop.reservations.confirm(booking_id, "ann", "card") == first
    sale.refused("CONFIRMATION_IN_PROGRESS", sale.shop.reservations.confirm, booking_id, "ann", "other card")


def test_an_abandoned_pin_is_recorded_as_expired_before_its_seats_come_back(sale: Sale) -> None:
    booking_id = sale.reserve(quantity=2).booking.booking_id
    late = sale.shop.reservations.confirm(booking_id, "ann", None)  # and the web process dies
    sale.clock.advance(sale.shop.expire.pin_limit_ms / 1000)
    _sweep(sale)
    assert sale.seats() == Seats(capacity=10, confirmed=0, held=0, available=10)
    (decision,) = sale.shop.ledger.confirm_bookings([late])
    assert (decision.outcome, decision.reason) == ("RESERVATION_NOT_FOUND", "expired")
    assert sale.shop.reservations.get(booking_id, "ann").booking.status == "expired"  # Redis tells it by itself
    assert sale.shop.get("ann", booking_id).status == "expired"


def test_a_confirm_whose_settle_was_lost_is_settled_by_the_sweeper(sale: Sale) -> None:
    booking_id = sale.reserve(quantity=2).booking.booking_id
    pin = sale.shop.reservations.confirm(booking_id, "ann", None)
    (decision,) = sale.shop.ledger.confirm_bookings([pin])  # committed, and the web process dies
    assert decision.outcome == "CONFIRMED"
    sale.clock.advance(sale.shop.expire.pin_limit_ms / 1000)
    _sweep(sale)
    assert sale.seats() == Seats(capacity=10, confirmed=2, held=0, available=8)
    assert sale.shop.confirm("ann", booking_id, None).status == "confirmed"


def test_settling_twice_changes_nothing_the_second_time(sale: Sale) -> None:
    booking_id = sale.reserve(quantity=2).booking.booking_id
    pin = sale.shop.reservations.confirm(booking_id, "ann", None)
    (decision,) = sale.shop.ledger.confirm_bookings([pin])
    for _ in range(3):
        sale.shop.reservations.settle(_shard(sale), [booking_id], {}, decision.learned)
        assert sale.seats() == Seats(capacity=10, confirmed=2, held=0, available=8)


def test_what_is_settled_in_one_call_is_credited_once_however_much_it_is_and_however_often_it_is_named(
    open_event: Callable[..., Sale],
) -> None:
    sale = open_event(capacity=100, max_per_user=100)
    users = ["ann"] * 12 + [f"user-{n}" for n in range(8)]
    bookings = [sale.reserve(user, 2, idempotency_key=f"k{n}").booking.booking_id for n, user in enumerate(users)]
    ended = bookings[15:]
    sale.shop.reservations.confirm(bookings[0], "ann", None)
    with altered_script("settle", "AT_ONCE = 500", "AT_ONCE = 7"):
        for _ in range(2):
            sale.shop.reservations.settle(
                _shard(sale), [*bookings[:10], *bookings[:10]], dict.fromkeys(ended, "expired"), Learned()
            )
            assert sale.seats().held == 2 * 5
    mine = sale.shop.reservations.mine("ann", [sale.event_id], [])
    assert {seen.booking.booking_id for seen in mine} == set(bookings[10:12])
    assert sale.reserve("user-7", 2, idempotency_key="k19").booking.booking_id == bookings[19]
    assert sale.shop.audit(_shard(sale)) == ""


def test_older_facts_do_not_overwrite_newer_ones(sale: Sale) -> None:
    older = sale.shop.ledger.zone_facts(sale.event_id, "A")
    sale.shop.confirm("ann", sale.reserve(quantity=2).booking.booking_id, None)
    for _ in range(2):
        sale.shop.reservations.learn(_shard(sale), older)
        assert sale.seats().confirmed == 2


def test_a_reservation_that_an_index_names_but_nobody_has_closes_the_shard(sale: Sale) -> None:
    booking_id = sale.reserve(quantity=2).booking.booking_id
    epoch = sale.shop.epochs.of(_shard(sale))
    sale.shop.redis.command("DEL", key_of(f"{{{_shard(sale):02}}}:{epoch}:r:{booking_id}"))
    sale.record()
    sale.clock.advance(HOLD_SECONDS)
    sale.shop.reservations.expire(_shard(sale), limit=100, pin_limit_ms=15_000)
    sale.refused("SERVICE_UNAVAILABLE", sale.reserve, "bob")
    assert sale.shop.rebuild()(_shard(sale))
    sale.shop.epochs.refresh()
    assert sale.reserve("bob", 10).booking.quantity == 10


def test_facts_of_an_unknown_zone_are_learned_from_an_event_alone(sale: Sale) -> None:
    facts = sale.shop.ledger.zone_facts(sale.event_id, "A").zones[0]
    sale.shop.reservations.learn(_shard(sale), Learned(zones=({**facts, "zone_id": "B", "capacity": 1},)))
    sale.reserve(zone="B")
    sale.refused("INSUFFICIENT_SEATS", sale.reserve, "bob", zone="B")
