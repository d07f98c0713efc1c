"""The oracles over both stores: content with what is true, red where somebody wrote past the functions."""

import time
from typing import Any

import psycopg
import pytest

from app.domain.ids import shard_of_event
from tests.support import invariants
from tests.support.controls import goes_red
from tests.support.edits import by_hand
from tests.support.promises import Call, Record
from tests.support.seats import Sale


def _call(verb: str, sale: Sale, user: str, booking_id: str, status: int = 200, **body: Any) -> Call:
    now = time.time()
    return Call(verb, user, sale.event_id, now, now, status, {"booking_id": booking_id, **body}, booking_id, user)


@pytest.fixture
def record(sale: Sale) -> Record:
    """ann is confirmed, bob has released, cid's confirmation was refused, dan's key as well; all of it is recorded."""
    ann, bob, cid = (sale.reserve(user, idempotency_key=user).booking.booking_id for user in ("ann", "bob", "cid"))
    code = sale.shop.confirm("ann", ann, None).confirmation_code
    sale.shop.release("bob", bob)
    sale.record()
    return Record(
        [
            *(_call("reserve", sale, *each, 201) for each in (("ann", ann), ("bob", bob), ("cid", cid))),
            Call("reserve", "dan", sale.event_id, 0, 0, 409, key="dan"),
            _call("confirm", sale, "ann", ann, confirmation_code=code),
            _call("release", sale, "bob", bob),
            _call("confirm", sale, "cid", cid, 409),
        ]
    )  # fmt: skip


DAMAGE = {
    "ann is reserved again": (
        "UPDATE booking.bookings SET status = 'reserved' WHERE user_id = 'ann' AND event_id = %s", "was confirmed as",
    ),
    "ann has another code": (
        "UPDATE booking.bookings SET confirmation_code = 'X' WHERE user_id = 'ann' AND event_id = %s",
        "was confirmed as",
    ),
    "ann is gone": (
        "UPDATE booking.bookings SET booking_id = gen_random_uuid() WHERE user_id = 'ann' AND event_id = %s",
        "and is None",
    ),
    "bob has expired": (
        "UPDATE booking.bookings SET status = 'expired' WHERE user_id = 'bob' AND event_id = %s",
        "was released and is expired",
    ),
    "cid is confirmed": (
        "UPDATE booking.bookings SET status = 'confirmed', confirmed_at = now(), confirmation_code = 'C' "
        "WHERE user_id = 'cid' AND event_id = %s",
        "is confirmed and nobody was answered so",
    ),
    "dan has a booking": (
        "UPDATE booking.bookings SET idempotency_key = 'dan' WHERE user_id = 'cid' AND event_id = %s",
        "key dan was refused and has a booking",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_an_answer_that_is_not_true_is_found(sale: Sale, record: Record, database: str, damage: str) -> None:
    invariants.answers_are_true(database, record)
    statement, message = DAMAGE[damage]
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")  # past the foreign keys as well
        assert owner.execute(statement.encode(), [sale.event_id]).rowcount == 1
    with goes_red(message):
        invariants.answers_are_true(database, record)


def test_a_seat_that_is_lost_in_redis_is_found(sale: Sale, record: Record) -> None:
    shop, shard = sale.shop, shard_of_event(sale.event_id, len(sale.shop.shards))
    invariants.stores_agree(shop, sale.event_id)
    counts = f"{{{shard:02}}}:{shop.epochs.of(shard)}:counts:{sale.event_id}/A"
    by_hand(shop.redis.command, "EDIT", counts, {"held": "+1"})
    with goes_red("1 differences"):
        invariants.stores_agree(shop, sale.event_id)
    by_hand(shop.redis.command, "EDIT", counts, {"held": "-1"})


SECOND_ENDS = {
    "a second end": "SELECT booking_id, epoch, version + 1, 'expired', now(), 'expire'",
    "a second end, after a rebuild": "SELECT booking_id, epoch + 1, version + 1, 'expired', now(), 'expire'",
    "a confirmation of what was released": "SELECT booking_id, epoch, version + 1, 'confirmed', now(), 'confirm'",
    "a cancellation of what was released": "SELECT booking_id, epoch, version + 1, 'cancelled', now(), 'cancel'",
}


@pytest.mark.parametrize("end", SECOND_ENDS)
def test_a_second_end_is_found(sale: Sale, record: Record, database: str, end: str) -> None:
    invariants.reservations_end_once(database, event_id=sale.event_id)
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(_row_of("bob", SECOND_ENDS[end]), [sale.event_id])
    with goes_red("1 histories cannot be"):
        invariants.reservations_end_once(database, event_id=sale.event_id)


def test_an_end_that_was_told_after_the_rebuild_is_void_and_one_that_was_told_before_is_not(
    sale: Sale, record: Record, database: str
) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(_row_of("bob", SECOND_ENDS["a second end, after a rebuild"]), [sale.event_id])
    shard = shard_of_event(sale.event_id, len(sale.shop.shards))
    epoch = sale.shop.epochs.of(shard)
    before, after = time.time() - 3600, time.time() + 3600
    invariants.reservations_end_once(database, {(shard, epoch + 1): before}, sale.event_id)
    with goes_red("ended twice: .*released.*, and then .*expired"):
        invariants.reservations_end_once(database, {(shard, epoch + 1): after}, sale.event_id)


def test_what_was_confirmed_does_not_end_after_any_rebuild(sale: Sale, record: Record, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(_row_of("ann", SECOND_ENDS["a second end, after a rebuild"]), [sale.event_id])
    shard = shard_of_event(sale.event_id, len(sale.shop.shards))
    rebuilt = {(shard, epoch): time.time() - 3600 for epoch in range(1, 10)}
    with goes_red("ended twice: .*confirmed.*, and then .*expired"):
        invariants.reservations_end_once(database, rebuilt, sale.event_id)


def _row_of(user: str, row: str) -> bytes:
    return (
        "INSERT INTO booking.booking_history (booking_id, epoch, version, status, at, cause) "
        f"{row} FROM booking.bookings WHERE user_id = '{user}' AND event_id = %s"
    ).encode()


def test_what_a_question_finds_is_told(sale: Sale, record: Record, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("UPDATE booking.zones SET confirmed_seats = 2 WHERE event_id = %s", [sale.event_id])
    with goes_red("oversold_zones finds"):
        invariants.questions_find_nothing(database, ["oversold_zones"])
