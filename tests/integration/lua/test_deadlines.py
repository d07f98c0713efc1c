"""A zone's deadlines, in buckets: whatever becomes of a reservation, it is found when it is due, and not before."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest

from app.domain.errors import Refusal
from app.domain.ids import shard_of_event
from app.stores import scripts
from app.wiring import Wiring
from tests.support.controls import altered_script, goes_red
from tests.support.seats import HOLD_SECONDS, Sale, reopen

STEPS, SWEEPS = 100, 60
SIZES = {"BUCKET = 30": "BUCKET = 4", "BUCKETS = 65536": "BUCKETS = 3"}


@contextmanager
def tight(script: str = "", old: str = "", new: str = "", sizes: Mapping[str, str] = SIZES) -> Iterator[None]:
    """Four reservations in a bucket, and three buckets until their numbers begin anew. And `script` is altered."""
    with ExitStack() as stack:
        for name in scripts.names():
            text = source = scripts.source(name)
            for size, small in sizes.items():
                text = text.replace(size, small)
            if name == script:
                assert old in text
                text = text.replace(old, new)
            if text != source:
                stack.enter_context(altered_script(name, source, text))
        yield


@dataclass
class Life:
    """What becomes of reservations, by chance, and what has to be true of them."""

    sale: Sale
    chance: random.Random
    live: dict[str, tuple[int, int]] = field(default_factory=dict)
    """booking -> deadline, ms, and seats"""
    pins: dict[str, int] = field(default_factory=dict)

    @property
    def shard(self) -> int:
        return shard_of_event(self.sale.event_id, len(self.sale.shop.shards))

    def due(self) -> set[str]:
        return {b for b, (deadline, _) in self.live.items() if deadline <= self.sale.clock.ms} - self.pins.keys()

    def any_one(self) -> str | None:
        standing = sorted(self.live.keys() - self.due() - self.pins.keys())
        return self.chance.choice(standing) if standing else None

    def step(self) -> None:
        often = [self.reserve, self.extend, self.pin, self.unpin, self.wait, self.sweep]
        self.chance.choice([*often, *often, self.reserve, self.release])()

    def reserve(self) -> None:
        booking = self.sale.reserve("ann", self.chance.randint(1, 12)).booking
        self.live[booking.booking_id] = booking.deadline_ms, booking.quantity

    def release(self) -> None:
        if one := self.any_one():
            self.sale.shop.release("ann", one)
            del self.live[one]

    def extend(self) -> None:
        if one := self.any_one():
            try:
                extended = self.sale.shop.extend("ann", one, None).booking
            except Refusal as refused:
                assert refused.kind.code == "HOLD_LIMIT_REACHED"  # noqa: PT017
                return
            self.live[one] = extended.deadline_ms, extended.quantity

    def pin(self) -> None:
        if one := self.any_one():
            self.pins[one] = self.sale.shop.reservations.confirm(one, "ann", "card").number

    def unpin(self) -> None:
        if self.pins:
            one = self.chance.choice(sorted(self.pins))
            late = self.live[one][0] <= self.sale.clock.ms
            self.sale.shop.reservations.unpin(one, self.pins.pop(one))
            if late:
                del self.live[one]

    def wait(self) -> None:
        self.sale.clock.advance(self.chance.choice([-HOLD_SECONDS / 3, HOLD_SECONDS / 3, HOLD_SECONDS]))

    def sweep(self) -> None:
        due, limit = self.due(), self.chance.randint(1, 9)
        for _ in range(SWEEPS):
            self.sale.shop.reservations.expire(self.shard, limit, 10**9)
            still = due & self._told().keys()
            for one in due - still:
                del self.live[one]
            due = still
        assert not due, f"{len(due)} are due and still there"

    def _told(self) -> dict[str, int]:
        told = self.sale.shop.reservations.live(self.sale.event_id, "A")
        assert told is not None
        return dict(told.quantities)

    def check(self) -> None:
        live = {booking: seats for booking, (_, seats) in self.live.items()}
        assert self._told() == live, "the index does not lead to what is live"
        not_due = self.live.keys() - self.due()
        assert self.sale.seats().held == sum(self.live[booking][1] for booking in not_due)
        assert self.sale.shop.audit(self.shard) == ""


def _live(open_event: Callable[..., Sale], older: Callable[[], None], seed: int) -> Life:
    sale = open_event(capacity=10**6, max_per_user=10**6, max_per_reservation=12, hold_seconds_max=3 * HOLD_SECONDS)
    older()
    life = Life(sale, random.Random(seed))
    for number in range(STEPS):
        life.step()
        life.check()
        if number == STEPS // 2:
            sale.record()
            sale.shop.redis.command("FLUSHALL")
            reopen(sale.shop)
            life.pins.clear()  # Postgres knows of no payment
            life.check()
    return life


@pytest.mark.parametrize("seed", range(2))
def test_what_is_due_is_found_whatever_has_become_of_it_before(
    open_event: Callable[..., Sale], older: Callable[[], None], seed: int
) -> None:
    with tight():
        life = _live(open_event, older, seed)
        while life.pins:
            life.unpin()
        life.sale.clock.advance(10 * HOLD_SECONDS)
        life.sweep()
        life.check()
    assert life.sale.shop.redis.command("KEYS", f"*:deadlines:{life.sale.event_id}/*") == []


@pytest.mark.parametrize(
    ("known", "script", "old", "new"),
    [
        (0, "reserve", "or deadline < low then", "then"),
        (7, "expire", "is_filling and first or counts.low", "counts.low"),
        (2, "expire", "is_filling and math.ceil(counts.put / BUCKET) * BUCKET or counts.put", "counts.put"),
        (7, "unpin", 'call("ZADD", deadlines_key(name), "LT", deadline, number)', ""),
    ],
    ids=["that is not lowered", "whose bound is raised alone", "that is empty and filled on", "left behind by a pin"],
)
def test_control_a_bucket_that_the_index_does_not_lead_to_in_time_goes_red(
    shop: Wiring,
    open_event: Callable[..., Sale],
    older: Callable[[], None],
    known: int,
    script: str,
    old: str,
    new: str,
) -> None:
    """From the seed that was known to show it when this was written: whatever changes, another is near."""
    with tight(script, old, new), goes_red("does not lead to|deadline is not known"):
        for seed in range(known, known + 20):
            _live(open_event, older, seed)
    shop.redis.command("FLUSHALL")
    reopen(shop)


EMPTY: dict[str, str] = {"BUCKET = 30": "BUCKET = 1"}
"""Each reservation has a bucket of its own, and leaves it empty when it is confirmed or released."""


def _abandoned_behind(sale: Sale, emptied: int) -> None:
    """One reservation is due, and before it so many buckets in which nothing is left. No sweeper lives."""
    for _ in range(emptied):
        sale.shop.release("ann", sale.reserve("ann").booking.booking_id)
    sale.clock.advance(1)
    sale.reserve("ann")
    sale.clock.advance(HOLD_SECONDS)


def test_what_is_due_is_on_sale_again_however_many_buckets_before_it_are_empty(open_event: Callable[..., Sale]) -> None:
    with tight(sizes=EMPTY):
        sale = open_event(capacity=1)
        _abandoned_behind(sale, 400)
        assert sale.seats().available == 1
        assert sale.reserve("bob").booking.status == "reserved"


def test_control_where_empty_buckets_count_as_much_as_full_ones_a_buyer_is_refused(
    open_event: Callable[..., Sale],
) -> None:
    with tight("reserve", "local looks = 3000", "local looks = 100", EMPTY), goes_red("on sale again"):
        sale = open_event(capacity=1)
        _abandoned_behind(sale, 400)
        try:
            sale.reserve("bob")
        except Refusal as refused:
            raise AssertionError("the seat is not on sale again") from refused


def test_a_sweep_that_has_looked_enough_says_that_there_is_more(open_event: Callable[..., Sale]) -> None:
    with tight("expire", "local looks = 3000", "local looks = 100", EMPTY):
        sale = open_event(capacity=1)
        _abandoned_behind(sale, 250)
        shard = shard_of_event(sale.event_id, len(sale.shop.shards))
        sweeps = [sale.shop.reservations.expire(shard, 250, 60_000) for _ in range(3)]
        assert [(sweep.expired, sweep.more) for sweep in sweeps] == [(0, True), (0, True), (1, False)]
