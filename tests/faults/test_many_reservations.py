"""A hundred thousand live reservations in a thousand zones, FLUSHALL under 500 reserves a second: who rebuilds,
how long nobody is sold anything, and how long Redis is held up by one script.

`RESERVATIONS=10000` makes it shorter."""

import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import redis

from app.domain.ids import shard_of_event
from app.domain.model import Event, Order, Zone
from app.stores import scripts
from app.stores.reservations import RedisReservations
from tests.support import forgetful, invariants
from tests.support.buyers import until
from tests.support.figures import figures
from tests.support.seats import open_shop
from tests.support.system import System, running
from tests.support.web import Visitors

pytestmark = pytest.mark.timeout(900)
RESERVATIONS = int(os.environ.get("RESERVATIONS", "100000"))
EVENTS, ZONES, CAPACITY, RATE, LOW_RATE = 100, 10, 10_000, 500, 100
HOLD_SECONDS = 3_600
BEFORE_S, AFTER_S = 8, 5
SELLS_WITHIN_S, ALONE_WITHIN_S, ALL_WITHIN_S = 10, 30, 60
"""The first shard; the same without a worker, which the web gives five seconds first; and all shards, on a machine
that is busy with other things: what that takes is in the figures, in seconds of processors."""
SCRIPT_MS, ANSWERED_WITHIN_S = 50, 1.5
"""Of a script, by the clock of the wall. Where more processes run than there are processors, scripts are also suspended
in their middle: so it is the median of those above a millisecond that is judged, and the longest is told."""


@pytest.fixture(scope="module")
def system(session_directory: Path) -> Iterator[System]:
    with running(session_directory / "many") as system:
        began = time.monotonic()
        for number in range(EVENTS):
            _open(system, f"many-{number}")
        _fill(system)
        print(f"\n{RESERVATIONS} reserved after {time.monotonic() - began:.0f} s")
        until(lambda: _recorded(system) == RESERVATIONS, 300, "all are recorded")
        print(f"recorded after {time.monotonic() - began:.0f} s")
        yield system


def _open(system: System, event_id: str) -> None:
    open_zone = system.shop.open_zone
    open_zone.event(
        Event(
            event_id=event_id,
            name=event_id,
            hold_seconds=HOLD_SECONDS,
            hold_seconds_max=HOLD_SECONDS,
            max_per_user=1_000,
        )
    )
    for zone in range(ZONES):
        facts = {"capacity": CAPACITY, "price_minor": 10_000, "currency": "THB"}
        open_zone(Zone(event_id=event_id, zone_id=str(zone), name=str(zone), **facts))  # type: ignore[arg-type]


class _Together:
    """Redis as the reservations see it, for many calls at a time: they are kept, and sent in one go."""

    def __init__(self, redis: Any) -> None:
        self._redis, self._run_id = redis, redis.run_id()
        self._kept: list[list[Any]] = []

    def run(self, name: str, key: str, arguments: Callable[[str], Sequence[Any]]) -> list[Any]:
        self._kept.append(["EVALSHA", scripts.script(name).sha, 1, key, *arguments(self._run_id)])
        return ["OK", 0, "", 0, 0, 0]

    def send(self) -> None:
        assert {reply[0] for reply in self._redis.pipeline(self._kept)} == {"OK"}
        self._kept.clear()


def _order(number: int) -> tuple[str, Order]:
    """Whose the reservation of this number is, and what was asked for."""
    event, zone = number % EVENTS, number // EVENTS % ZONES
    return f"user-{number // 3}", Order(f"many-{event}", str(zone), 1, idempotency_key=f"k{number}")


def _fill(system: System) -> None:
    shop = open_shop(system.database, system.stack.settings["REDIS_URL"], redis_timeout_ms=20_000)
    together = _Together(shop.redis)
    reservations = RedisReservations(together, shop.epochs, len(shop.shards), 10**6)  # type: ignore[arg-type]
    shop.redis.command("SCRIPT", "LOAD", scripts.script("reserve").text)
    for number in range(RESERVATIONS):
        reservations.reserve(*_order(number))
        if number % 500 == 499:
            together.send()
    shop.close()


def _recorded(system: System) -> int:
    return int(
        system.shop.postgres.rows("SELECT count(*) FROM booking.bookings WHERE event_id LIKE 'many-%%'", [])[0][0]
    )


@dataclass
class Buying:
    """One seat of one zone after the other; what came of it, and when."""

    shards: int
    answers: list[tuple[float, float, int, int]] = field(default_factory=list)
    """Sent, answered (monotonic), status, shard."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __call__(self, client: httpx.Client) -> int:
        number = next(self._numbers)
        event_id = f"many-{number % EVENTS}"
        body = {"event_id": event_id, "zone_id": str(number // EVENTS % ZONES), "quantity": 1}
        sent = time.monotonic()
        status = client.post("/bookings/reserve", json=body, headers={"X-User-ID": f"buyer-{number}"}).status_code
        self.answers.append((sent, time.monotonic(), status, shard_of_event(event_id, self.shards)))
        return status

    def sells(self, since: float) -> bool:
        """Whether every shard has sold something that was asked for after `since`."""
        sold = {shard for sent, _, status, shard in list(self.answers) if status == 201 and sent >= since}
        return len(sold) == len({shard for *_, shard in self.answers})


@dataclass
class Timeline:
    """In seconds after the loss."""

    last_201: float
    first_503: float
    first_201: float
    all_shards: float
    slowest: float
    median_ms: float
    longest_ms: float
    script: str

    def __str__(self) -> str:
        return (
            f"last 201 {self.last_201:+.2f} s, first 503 {self.first_503:+.2f} s, first 201 {self.first_201:+.2f} s, "
            f"all shards {self.all_shards:+.2f} s, slowest answer {self.slowest:.2f} s, "
            f"longest script {self.longest_ms:.1f} ms ({self.script}), "
            f"median of those above a millisecond {self.median_ms:.1f} ms"
        )


def _lose_all_under_load(system: System, rate: float) -> Timeline:
    buying = Buying(len(system.shop.shards))
    with redis.Redis.from_url(system.stack.redis.url) as admin:
        admin.config_set("slowlog-log-slower-than", 1_000)
        admin.config_set("slowlog-max-len", 100_000)
        with Visitors(system.stack.web, buying, rate=rate, connections=40) as visitors:
            time.sleep(BEFORE_S)
            admin.slowlog_reset()
            before = _processor_seconds(system)
            forgetful.empty(system.stack.redis)
            lost = time.monotonic()
            until(lambda: buying.sells(lost), ALL_WITHIN_S, "every shard sells again")
            after = _processor_seconds(system)
            time.sleep(AFTER_S)
        print(f"answers: {dict(visitors.outcomes)}")
        print("processors, until all shards sold again:", {who: f"{after[who] - before[who]:.1f} s" for who in before})
        slow = [(entry["duration"] / 1000, entry["command"]) for entry in admin.slowlog_get(100_000)]
    of_scripts = [(ms, _name(command)) for ms, command in slow if command.startswith(b"EVAL")]
    print(f"over a millisecond: {Counter(name for _, name in of_scripts)}")
    of_scripts = sorted([*of_scripts, (0.0, "none")])
    sold = {shard: min(a for s, a, status, of in buying.answers if status == 201 and s >= lost and of == shard)
            for *_, shard in buying.answers}  # fmt: skip
    assert visitors.outcomes.keys() <= {201, 503}, "neither sold nor 503"
    return Timeline(
        max(a for s, a, status, _ in buying.answers if status == 201 and s < lost) - lost,
        min(a for _, a, status, _ in buying.answers if status == 503 and a >= lost) - lost,
        min(sold.values()) - lost,
        max(sold.values()) - lost,
        max(answered - sent for sent, answered, _, _ in buying.answers),
        of_scripts[len(of_scripts) // 2][0],
        *of_scripts[-1],
    )


def _processor_seconds(system: System) -> dict[str, float]:
    stack = system.stack
    return {each.name: _of_tree(each.pid) for each in (stack.redis, stack.postgres, stack.worker, stack.web)}


def _of_tree(pid: int | None) -> float:
    """Of those that have ended as well: their parents have their times."""
    try:
        process = psutil.Process(pid) if pid else None
        times = process.cpu_times() if process else None
    except psutil.NoSuchProcess:
        return 0.0
    if process is None or times is None:
        return 0.0
    own = times.user + times.system + times.children_user + times.children_system
    return float(own) + sum(_of_tree(child.pid) for child in process.children())


def _name(command: bytes) -> str:
    sha = command.split()[1].decode()
    return next((name for name in scripts.names() if scripts.script(name).sha == sha), command[:40].decode())


def _nothing_is_lost(system: System) -> None:
    """What was recorded before is live again with its key, and both stores name the same reservations."""
    until(system.all_told, 60, "everything is told")
    until(system.agreed, 90, "drift 0")
    invariants.stores_agree(system.shop)
    for number in range(0, RESERVATIONS, RESERVATIONS // 50):
        user, order = _order(number)
        again = system.shop.reserve(user, order)
        assert again.replayed
        assert system.shop.get(user, again.booking.booking_id).status == "reserved"


def test_a_hundred_thousand_reservations_are_back_within_ten_seconds(system: System) -> None:
    timeline = _lose_all_under_load(system, RATE)
    print(f"the worker rebuilds {RESERVATIONS} reservations: {timeline}")
    assert timeline.first_201 < SELLS_WITHIN_S
    assert timeline.median_ms < SCRIPT_MS
    told = figures(system.stack.worker)
    assert told["holdfast_worker_done_total rebuilt"] >= len(system.shop.shards)
    installed = sum(
        value for name, value in told.items() if name.startswith("holdfast_rebuild_rows") and "installed" in name
    )
    assert installed >= RESERVATIONS / 2, "the web took more than what had been closed for five seconds"
    _nothing_is_lost(system)
    until(lambda: figures(system.stack.worker)["holdfast_worker_done_total keys_swept"] >= 0, 30, "swept")


def test_web_processes_alone_rebuild_them_and_go_on_answering(system: System) -> None:
    system.stack.worker.stop()
    try:
        timeline = _lose_all_under_load(system, LOW_RATE)
    finally:
        system.stack.worker.start()
    print(f"two web processes rebuild {RESERVATIONS} reservations: {timeline}")
    assert timeline.first_201 < ALONE_WITHIN_S
    assert timeline.median_ms < SCRIPT_MS
    assert timeline.slowest < ANSWERED_WITHIN_S, "a rebuild has held up those who only ask"
    _nothing_is_lost(system)
