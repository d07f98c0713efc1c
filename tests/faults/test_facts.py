"""Cancellations and changes of capacity under load, while Redis hears of them late, twice and in any order: at the end
it knows what Postgres knows, and no capacity was undercut."""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import msgpack
import pytest
import redis

from app.domain.errors import Refusal
from app.domain.ids import shard_of_event
from app.domain.model import Zone
from app.stores.outboxes import OutboxRow
from app.wiring import Wiring
from dev.redis import Redis
from tests.support.controls import altered_script, goes_red
from tests.support.far_stores import Deaf, Slow
from tests.support.seats import PRICE_MINOR, Clock, Sale, open_sale, open_shop
from worker.events import encode_event
from worker.handlers import SettleBookings

pytestmark = pytest.mark.timeout(180)
LOAD_SECONDS, CONTROL_SECONDS = 20, 6
BUYERS = 6


@pytest.fixture
def shop(database: str, redis_server: Redis) -> Iterator[Wiring]:
    redis.Redis.from_url(redis_server.url).flushall()
    wiring = open_shop(database, redis_server.url, pin_limit_seconds=1)
    yield wiring
    wiring.close()


@dataclass(frozen=True)
class Record:
    """A record of booking.events, as the settler gets it."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    topic: str = "booking.events"
    partition: int = 0
    offset: int = 0


def _record(row: OutboxRow) -> Record:
    """With what a delta would be, which only an altered script looks at."""
    sign = {"booking.confirmed": 1, "booking.cancelled": -1}.get(row.type, 0)
    if "zone" in row.data:
        row.data["zone"]["delta"] = sign * row.data.get("booking", {}).get("quantity", 0)
    message = encode_event("booking.events", row)
    return Record(message.key, message.value, message.headers)


@dataclass
class Tally:
    """What the buyers know: seats that are certainly in use, and a bound that they must not pass."""

    bound: int
    in_use: int = 0
    wrong: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def took(self, quantity: int) -> None:
        """After the answer; a negative quantity is given back, noted before it is asked for."""
        with self._lock:
            self.in_use += quantity
            self._look()

    def change(self, capacity: int, change: Callable[[], object]) -> None:
        before, self.bound = self.bound, max(self.bound, capacity)
        try:
            change()
        except Refusal as refused:
            self.bound = before
            self.done[f"cut {refused.kind.code}"] += 1
            return
        with self._lock:
            self.bound = capacity
            self.done["capacity"] += 1
            self._look()

    def _look(self) -> None:
        if self.in_use > self.bound:
            self.wrong.append(f"{self.in_use} seats are in use of {self.bound}")


@dataclass
class Load:
    """Buyers, an operator, a sweeper that audits as well, a recorder, and a courier who brings the events."""

    sale: Sale
    seed: int
    seconds: float
    told: bool = False
    """Whether Redis hears of everything at once: it then counts no seat both as held and as confirmed for a while."""
    tally: Tally = field(default_factory=lambda: Tally(60))

    def __post_init__(self) -> None:
        shop = self.sale.shop
        self._shard = shard_of_event(self.sale.event_id, len(shop.shards))
        self._settler = SettleBookings(shop.reservations, len(shop.shards))
        slow: Any = Slow(shop.ledger)
        deaf: Any = Deaf(shop.reservations)
        verbs: tuple[Any, ...] = (shop.confirm, shop.cancel, replace(shop.open_zone, ledger=slow))
        self._services = [verbs, verbs if self.told else tuple(replace(verb, reservations=deaf) for verb in verbs)]
        self._bag: list[Record] = []

    def run(self) -> None:
        self._ends = time.monotonic() + self.seconds
        roles = [self._buyer] * BUYERS + [self._operator, self._courier, self._sweeper, self._recorder]
        with ThreadPoolExecutor(len(roles)) as pool:
            for role in [pool.submit(role, random.Random(self.seed + n)) for n, role in enumerate(roles)]:
                role.result()
        self._recorder(random.Random(self.seed))
        self._deliver(self._fresh() + self._bag, random.Random(self.seed))
        time.sleep(1.1)  # pins and ceilings are past their limit
        self._sweeper(random.Random(self.seed))
        self._deliver(self._fresh() + self._bag, random.Random(self.seed + 1))

    def _buyer(self, chance: random.Random) -> None:
        user = f"user-{chance.random()}"
        while time.monotonic() < self._ends:
            quantity = chance.randint(1, 3)
            try:
                booking_id = self.sale.reserve(user, quantity).booking.booking_id
            except Refusal as refused:
                self.tally.done[f"reserve {refused.kind.code}"] += 1
                time.sleep(0.02)
                continue
            self.tally.took(quantity)
            verb = chance.choice(["release", "confirm", "cancel", "cancel", "cancel"])
            if verb != "release":
                self._certain(chance.choice(self._services)[0], user, booking_id, None)
            time.sleep(chance.random() / 20)
            if verb != "confirm" or chance.random() < 0.95:  # some keep their seats
                self.tally.took(-quantity)
                self._certain(chance.choice(self._services)[1], user, booking_id, None)
            self.tally.done[verb] += 1

    def _certain(self, verb: Any, *arguments: Any) -> None:
        try:
            verb(*arguments)
        except Refusal as refused:
            self.tally.wrong.append(f"{type(verb).__name__} is refused: {refused.kind.code} {refused.detail}")

    def _operator(self, chance: random.Random) -> None:
        while time.monotonic() < self._ends:
            # Half of the cuts are as deep as they can be.
            capacity = chance.choice([chance.randint(10, 90), self.tally.in_use + chance.randint(0, 2)])
            zone = Zone(
                event_id=self.sale.event_id, zone_id="A", name="A", capacity=capacity, price_minor=PRICE_MINOR,
                currency="THB",
            )  # fmt: skip
            open_zone = chance.choice(self._services)[2]
            self.tally.change(capacity, lambda zone=zone, open_zone=open_zone: open_zone(zone))
            time.sleep(chance.random() / 5)

    def _courier(self, chance: random.Random) -> None:
        while time.monotonic() < self._ends:
            self._bag += self._fresh()
            self._deliver(chance.choices(self._bag, k=60) if self._bag else [], chance)
            time.sleep(0.05)

    def _fresh(self) -> list[Record]:
        fresh: list[Record] = []
        while rows := self.sale.shop.ledger_outbox.read(500):
            fresh += [_record(row) for row in rows]
            self.sale.shop.ledger_outbox.acknowledge([row.id for row in rows])
        return fresh

    def _deliver(self, records: list[Record], chance: random.Random) -> None:
        """In any order, and some again."""
        records = records + chance.choices(records, k=len(records) // 4) if records else []
        chance.shuffle(records)
        while records:
            outcome = self._settler(records)
            assert not outcome.poisoned
            self.tally.done["delivered"] += outcome.done
            records = records[outcome.done :]

    def _sweeper(self, _: random.Random) -> None:
        while True:
            self.sale.shop.expire(self._shard)
            if wrong := self.sale.shop.audit(self._shard):
                self.tally.wrong.append(f"the audit cries wolf: {wrong}")
            if time.monotonic() >= self._ends:
                return
            time.sleep(0.2)

    def _recorder(self, chance: random.Random) -> None:
        """The log as well comes twice."""
        while True:
            if batch := list(self.sale.shop.outbox.read(self._shard, 500)):
                self.sale.shop.recorder.record(batch)
                self.sale.shop.recorder.record(chance.sample(batch, len(batch)))
                self.sale.shop.outbox.acknowledge({self._shard: batch[-1]["seq"]})
            elif time.monotonic() >= self._ends:
                return
            time.sleep(0.05)

    def check(self) -> None:
        """Both stores agree, and so do the buyers."""
        shop, event_id = self.sale.shop, self.sale.event_id
        seats = self.sale.seats()
        ((capacity, confirmed, version),) = self.sale.rows(
            "SELECT capacity, confirmed_seats, version FROM booking.zones WHERE event_id = %s", event_id
        )
        known, true = (seats.capacity, seats.confirmed, seats.version), (capacity, confirmed, version)
        assert known == true, f"the facts differ: Redis {known}, Postgres {true} (capacity, confirmed, version)"
        assert not self.tally.wrong, self.tally.wrong
        assert (seats.held, seats.available) == (0, max(0, capacity - confirmed)), f"seats are lost: {seats}"
        space = f"{{{self._shard:02}}}:{shop.epochs.of(self._shard)}"
        users = self.sale.rows("SELECT user_id, confirmed_seats FROM booking.user_seats WHERE event_id = %s", event_id)
        for user, count in users:
            (packed,) = shop.redis.pipeline([("GET", f"{space}:u:{event_id}/{user}")], raw=True)
            assert msgpack.unpackb(packed)[:2] == [0, count], f"the facts differ for {user}"
        assert confirmed == self.tally.in_use
        assert shop.audit(self._shard) == ""
        ((doubled,),) = self.sale.rows(
            "SELECT count(*) FROM (SELECT 1 FROM booking.booking_history JOIN booking.bookings USING (booking_id) "
            "WHERE event_id = %s GROUP BY booking_id, booking_history.status HAVING count(*) > 1) AS d",
            event_id,
        )
        assert not doubled


def _load(shop: Wiring, seconds: float) -> Load:
    seed = int(os.environ.get("SEED") or time.time())
    print(f"SEED={seed}")
    return Load(open_sale(shop, Clock(), 60, max_per_user=1_000_000), seed, seconds)


@pytest.mark.parametrize("told", [False, True], ids=["left to the worker", "told at once"])
def test_cancellations_and_cuts_told_late_twice_and_in_any_order_leave_both_stores_agreed(
    shop: Wiring, told: bool
) -> None:
    load = replace(_load(shop, LOAD_SECONDS), told=told)
    load.run()
    load.check()
    print(dict(load.tally.done))


_NEWEST = """  if known and known.version >= fact.version then
    return
  end
"""
_FIRST_LINE = """  local known = unpack_zone(call("GET", zone_key(name)))
"""
_DELTA = """  if known then
    known.confirmed = known.confirmed + (fact.delta or 0)
    call("SET", zone_key(name), pack_zone(known))
    if known.version >= fact.version then
      return
    end
    fact.confirmed = known.confirmed
  end
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [(_NEWEST, ""), (_FIRST_LINE + _NEWEST, _FIRST_LINE + _DELTA)],
    ids=["without versions", "as deltas"],
)
def test_control_facts_that_are_not_versioned_go_red(shop: Wiring, old: str, new: str) -> None:
    load = _load(shop, CONTROL_SECONDS)
    with altered_script("settle", old, new), altered_script("learn", old, new), goes_red("the facts differ"):
        load.run()
        load.check()


def test_control_a_cut_that_fences_nothing_goes_red(shop: Wiring) -> None:
    fence = ("reserve", "capacity = math.min(capacity, ceiling)", "")
    with altered_script(*fence), goes_red("seats are in use of|is refused: INSUFFICIENT_SEATS"):
        for _ in range(3):  # it needs a reserve in the midst of a cut, and chance does not always bring one
            load = replace(_load(shop, LOAD_SECONDS), told=True)
            load.run()
            load.check()
