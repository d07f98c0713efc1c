"""What a rebuild brings back: all that Postgres had, to the last field, and what has an open payment first of all."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from app.domain import idempotency
from app.domain.ids import shard_of_event
from app.domain.model import Event, Seats, Zone
from app.stores import keys
from tests.support.controls import altered_function, goes_red
from tests.support.seats import HOLD_SECONDS, Sale, reopen

OpenEvent = Callable[..., Sale]
PIN_LIMIT_SECONDS = 15
# As Lua sees it: what is packed is told field by field.
BUCKET, AT = 12, 18
"""Fields of a reservation."""
HELD, CEILING = 0, 2
"""Counts of a zone."""
COUNTS = 3
"""What is known of a user begins with so many."""
_READ = """
local kind, key = redis.call("TYPE", KEYS[1]).ok, KEYS[1]
if kind == "hash" then
  local fields, all = {}, redis.call("HGETALL", key)
  for i = 1, #all, 2 do fields[all[i]] = all[i + 1] end
  return cjson.encode(fields)
elseif kind == "zset" then
  return cjson.encode(redis.call("ZRANGE", key, 0, -1, "WITHSCORES"))
end
local packed = redis.call("GET", key)
local at, array = cmsgpack.unpack_one(packed)
if type(array) ~= "table" then
  return cjson.encode({ cmsgpack.unpack(packed) })
end
for entry = at > 0 and at or #packed, #packed - 1, 24 do
  array[#array + 1] = string.sub(packed, entry + 1, entry + 24) -- of a user
end
return cjson.encode(array)
"""


@pytest.fixture
def sale(open_event: OpenEvent) -> Iterator[Sale]:
    sale = open_event(hold_seconds_max=HOLD_SECONDS * 2 + 100, max_per_user=8)
    yield sale
    reopen(sale.shop)


def _shard(sale: Sale) -> int:
    return shard_of_event(sale.event_id, len(sale.shop.shards))


def _forget_and_reopen(sale: Sale) -> None:
    sale.shop.redis.command("FLUSHALL")
    reopen(sale.shop)


def _name_space(sale: Sale) -> dict[str, Any]:
    """Every key of this event in its shard's name space, as far as it still says something of today."""
    redis, shard = sale.shop.redis, _shard(sale)
    prefix = f"{{{shard:02}}}:{sale.shop.epochs.of(shard)}:"
    found: dict[str, Any] = {}
    ((names),) = redis.pipeline([("KEYS", f"{prefix}*")], raw=True)
    for key in names:
        name = key.decode("latin-1").removeprefix(prefix)
        if name.startswith("r:") and redis.command("PTTL", key) > 0:
            continue  # has ended
        value = json.loads(redis.pipeline([("EVAL", _READ, 1, key)], raw=True)[0].decode("latin-1"))
        match name.partition(":")[0]:
            case "due":
                continue  # bounds, which a rebuild makes tighter
            case "counts":
                value = [value[HELD], *value[CEILING : CEILING + 2]]  # the rest is of bounds and of buckets
            case "u":
                value[COUNTS:] = sorted(value[COUNTS:])
            case "r":
                value[BUCKET] = 0  # a rebuild fills them anew
                del value[AT:]  # when it last changed; read of those alone that have ended
            case "deadlines" if name.count("/") == 1:
                continue  # the index of the buckets
            case "deadlines":
                name = name.rpartition("/")[0]
                value = sorted([*found.get(name, []), *zip(value[::2], value[1::2], strict=True)])
        found[name] = value
    return found


def test_the_name_space_after_a_rebuild_is_the_one_before_it_to_the_last_field(sale: Sale) -> None:
    shop, opens = sale.shop, sale.clock() - 1000
    shop.open_zone.event(
        Event(
            event_id=sale.event_id,
            name="Gala",
            opens_at_ms=opens,
            closes_at_ms=opens + 10**9,
            hold_seconds=300,
            hold_seconds_max=900,
            max_per_user=7,
            max_per_reservation=4,
        )
    )
    shop.open_zone(
        Zone(event_id=sale.event_id, zone_id="B", name="B", capacity=50, price_minor=2**40 + 1, currency="JPY")
    )
    shop.open_zone(Zone(event_id=sale.event_id, zone_id="A", name="A", capacity=9, price_minor=777, currency="THB"))
    for n in range(3):
        sale.reserve(f"user-{n}", 2, zone="B", idempotency_key=f"k-{n}")
    shop.extend("user-1", sale.reserve("user-1", 1).booking.booking_id, "later")
    shop.confirm("ann", sale.reserve("ann", 3, idempotency_key="sold").booking.booking_id, None)
    cancelled = sale.reserve("bob", 2).booking.booking_id
    shop.confirm("bob", cancelled, None)
    shop.cancel("bob", cancelled, None)
    shop.release("cy", sale.reserve("cy", 1, idempotency_key="gone").booking.booking_id)
    sale.record()
    before = _name_space(sale)
    # zones 2, their counts 2, their deadlines 2, users 5, reservations 4, keys of what ended 3
    assert len(before) == 18, sorted(before)
    _forget_and_reopen(sale)
    assert _name_space(sale) == before


@pytest.mark.parametrize("user", ["ann", "Ünï:1", "a:b|2", "人"])
def test_postgres_names_a_key_as_the_scripts_do(sale: Sale, user: str) -> None:
    scope = (sale.event_id, user, "reserve", "k:1|~")
    ((digest,),) = sale.rows("SELECT booking.idempotency_digest(%s, %s, %s, %s)", *scope)
    assert digest == idempotency.digest(*scope).hex()


def test_a_key_is_replayed_after_a_rebuild_for_what_is_left_of_its_day_even_if_its_reservation_has_ended(
    sale: Sale,
) -> None:
    first = sale.reserve("ann", 2, idempotency_key="k").booking
    sale.shop.release("ann", first.booking_id)
    sale.record()
    _forget_and_reopen(sale)
    again = sale.reserve("ann", 2, idempotency_key="k")
    assert (again.replayed, again.booking.booking_id, again.booking.deadline_ms) == (
        True,
        first.booking_id,
        first.deadline_ms,
    )
    sale.refused("IDEMPOTENCY_KEY_REUSED", sale.reserve, "ann", 1, idempotency_key="k")
    assert sale.seats().held == 0
    digest = idempotency.digest(sale.event_id, "ann", "reserve", "k")
    space = f"{keys.epoch(_shard(sale)).removesuffix('epoch')}{sale.shop.epochs.of(_shard(sale))}"
    left_ms = sale.shop.redis.command("PTTL", f"{space}:k:{sale.event_id}/ann/".encode() + digest[:8])
    assert idempotency.KEPT_MS - 60_000 < left_ms <= idempotency.KEPT_MS + 60_000
    sale.clock.advance(24 * 3600)
    assert not sale.reserve("ann", 1, idempotency_key="k").replayed


# --- payments ---


def _pay(database: str, booking_id: str, state: str = "pending") -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(
            "INSERT INTO booking.payments (booking_id, payment_id, state, amount_minor, currency, epoch, pin) "
            "VALUES (%s, 'card', %s, 1, 'THB', 1, 1)",
            [booking_id, state],
        )


def _pinned(sale: Sale, booking_id: str) -> bool:
    seen = sale.shop.look(booking_id).redis
    return bool(seen and seen.pinned)


def _paying_through_a_rebuild(sale: Sale, database: str) -> None:
    """One reservation has an open payment, the other one's was declined."""
    paying, declined = (sale.reserve("ann", 2).booking.booking_id for _ in range(2))
    sale.record()
    _pay(database, paying)
    _pay(database, declined, "declined")
    _forget_and_reopen(sale)
    shop = sale.shop
    assert [_pinned(sale, b) for b in (paying, declined)] == [True, False]
    sale.refused("CONFIRMATION_IN_PROGRESS", shop.release, "ann", paying)
    sale.clock.advance(HOLD_SECONDS + PIN_LIMIT_SECONDS)
    assert shop.expire(_shard(sale)).overdue
    seen = [shop.get("ann", b).status for b in (paying, declined)]
    assert seen == ["reserved", "expired"], seen
    pin = shop.reservations.confirm(paying, "ann", "card")  # as the saga does, before each confirm_bookings
    (decision,) = shop.ledger.confirm_bookings([pin])
    assert decision.outcome == "CONFIRMED"


def test_a_reservation_with_an_open_payment_comes_back_pinned_for_it_and_the_sweeper_leaves_it(
    sale: Sale, database: str
) -> None:
    _paying_through_a_rebuild(sale, database)


PAYING = "v_booking.status = 'reserved' AND EXISTS"


def test_control_a_sweeper_that_does_not_ask_for_payments_goes_red(sale: Sale, database: str) -> None:
    with altered_function(database, "settle_bookings", PAYING, f"false AND {PAYING}"), goes_red("expired.*expired"):
        _paying_through_a_rebuild(sale, database)


def _too_many_with_a_payment(sale: Sale, database: str) -> None:
    """Four reservations of two seats each, of which the last is paid for, when there is room for three."""
    bookings = []
    for n in range(4):
        bookings.append(sale.reserve(f"user-{n}", 2).booking.booking_id)
        sale.clock.advance(1)
    sale.record()
    _pay(database, bookings[3])
    sale.shop.release("user-0", bookings[0])
    sale.shop.confirm("bob", sale.reserve("bob", 4).booking.booking_id, None)
    _forget_and_reopen(sale)
    seen = [sale.shop.get(f"user-{n}", b).status for n, b in enumerate(bookings)]
    assert seen == ["reserved", "reserved", "expired", "reserved"], seen
    assert sale.seats() == Seats(capacity=10, confirmed=4, held=6, available=0)


def test_of_too_many_reservations_the_one_with_an_open_payment_is_kept(sale: Sale, database: str) -> None:
    _too_many_with_a_payment(sale, database)


def test_control_an_image_that_does_not_look_at_payments_goes_red(sale: Sale, database: str) -> None:
    with (
        altered_function(database, "end_what_does_not_fit", "l.paying DESC, ", ""),
        goes_red("reserved', 'reserved', 'reserved', 'expired"),
    ):
        _too_many_with_a_payment(sale, database)


@pytest.mark.parametrize("ended", [False, True])
def test_a_key_that_was_claimed_before_bookings_owned_theirs_comes_back_too(sale: Sale, ended: bool) -> None:
    first = sale.reserve(idempotency_key="k")
    if ended:
        sale.shop.release("ann", first.booking.booking_id)
    sale.record()
    with sale.shop.postgres.session(5) as connection:
        connection.execute(
            f"RESET ROLE; INSERT INTO booking.idempotency_keys "
            f"SELECT k.event_id, user_id, verb, key, fingerprint, booking_id, answer, since "
            f"FROM booking.kept_keys({_shard(sale)}::smallint) AS k WHERE event_id = '{sale.event_id}'; "
            f"UPDATE booking.bookings SET key_fingerprint = NULL WHERE event_id = '{sale.event_id}'".encode()
        )
    _forget_and_reopen(sale)
    again = sale.reserve(idempotency_key="k")
    assert again.replayed
    assert again.booking.booking_id == first.booking.booking_id
    assert again.booking.deadline_ms == first.booking.deadline_ms
    sale.refused("IDEMPOTENCY_KEY_REUSED", sale.reserve, "ann", 2, idempotency_key="k")
