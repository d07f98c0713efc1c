"""What happens behind the web process: expiry of what is due, Redis' streams to Kafka, the log to Postgres, a rebuild.

The parts of the worker run here, in this process, on a system whose own worker is stopped meanwhile.
"""

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from app.domain.model import Order
from app.settings import Settings
from app.stores.reservations import RedisReservations
from app.stores.scripts import script
from app.wiring import Wiring, build_worker
from bench import cpu
from bench.measure import Plan
from bench.system import System
from worker.process import Worker
from worker.topics import Topics

_EVENTS: Final = 16
_ZONES: Final = 10
_PER_FLUSH: Final = 200
_DUE_MS: Final = 3_600_000
_LOOK_S: Final = 0.05
_PATIENCE_S: Final = 600.0
_PATIENCE_MS: Final = 60_000


@dataclass(frozen=True)
class Carried:
    """One step on `count` of something: medians of all runs. `cpu_us`: role -> µs for each; `longest_ms`: the longest
    script, where scripts do it."""

    step: str
    count: int
    per_second: float
    cpu_us: dict[str, float]
    longest_ms: float | None = None


class _Noted(Exception):
    """The call was noted and not made."""


class _Notes:
    """Stands for Redis where calls are made ready, to be sent many at a time."""

    def __init__(self, run_id: str) -> None:
        self.calls: list[list[str | int]] = []
        self._run_id = run_id

    def run(self, name: str, key: str, arguments: Callable[[str], Sequence[str | int]]) -> list[Any]:
        self.calls.append(["EVALSHA", script(name).sha, 1, key, *arguments(self._run_id)])
        raise _Noted


def run(system: System, plan: Plan, say: Callable[[str], None]) -> list[Carried]:
    """Fresh reservations each round. Raises `RuntimeError` when something does not end in time."""
    count = 100_000 if plan.rounds >= 5 else 20_000
    say(f"expiry, relay, consumer and rebuild of {count:,}")
    events = [
        system.open_event(f"line-{number}-{time.time_ns()}", [f"z{zone}" for zone in range(_ZONES)], hold_seconds=600)
        for number in range(_EVENTS)
    ]
    system.drain()
    system.stack.worker.stop()
    try:
        rounds = []
        for number in range(plan.rounds):
            rounds.append(_round(system, events, count))
            for carried in rounds[-1]:
                say(f"    {number + 1}/{plan.rounds} {carried.step}: {carried.per_second:,.0f}/s, "
                    f"{sum(carried.cpu_us.values()):.1f} µs ({carried.cpu_us})")  # fmt: skip
        return [_median(samples) for samples in zip(*rounds, strict=True)]
    finally:
        system.stack.worker.start()


def _median(samples: Sequence[Carried]) -> Carried:
    longest = [sample.longest_ms for sample in samples if sample.longest_ms is not None]
    return replace(
        samples[0],
        per_second=statistics.median(sample.per_second for sample in samples),
        cpu_us={role: statistics.median(s.cpu_us[role] for s in samples) for role in samples[0].cpu_us},
        longest_ms=statistics.median(longest) if longest else None,
    )


def _round(system: System, events: Sequence[str], count: int) -> list[Carried]:
    settings = replace(Settings.from_environment(system.stack.settings), redis_timeout_ms=_PATIENCE_MS)
    shop = build_worker(settings)
    shop.start()
    late = replace(shop, now=lambda: time.time_ns() // 1_000_000 + _DUE_MS)
    late.start()
    try:
        _reserve(shop, events, count)
        steps = [_carry(system, shop, "reservations: stream to Kafka", {"relay"}, lambda: system.unrecorded()[0])]
        recorded = "reservations: Kafka to Postgres"
        steps.append(_carry(system, shop, recorded, {"consumer"}, lambda: system.unrecorded()[1]))
        steps.append(_rebuild(system, shop, count))
        late.epochs.refresh()
        steps.append(_expire(system, late, count))
        # One after the other, so that each is seen by itself: at once they would share one process.
        steps.append(_carry(system, shop, "expiries: stream to Kafka", {"relay"}, lambda: system.unrecorded()[0]))
        recorded = "expiries: Kafka to Postgres"
        steps.append(_carry(system, shop, recorded, {"consumer"}, lambda: system.unrecorded()[1]))
        steps.append(_carry(system, shop, "expiries: told to the public", {"relay"}, lambda: _untold(system)))
        with _unsettled(system) as unsettled:  # else that would be done within the next round's recording
            _run(shop, {"consumer"}, lambda: not unsettled())
        return steps
    finally:
        late.close()
        shop.close()


def _reserve(shop: Wiring, events: Sequence[str], count: int) -> None:
    """Under keys, each a buyer's first; many calls at a time."""
    notes = _Notes(shop.redis.run_id())
    reservations = RedisReservations(notes, shop.epochs, len(shop.shards), shop.settings.outbox_max)  # type: ignore[arg-type]
    run = time.time_ns()
    shop.reserve(f"first-{run}", Order(events[0], "z0", 1))  # from here on Redis knows the script
    for number in range(1, count):
        order = Order(events[number % _EVENTS], f"z{number // _EVENTS % _ZONES}", 1, idempotency_key=f"k{run}-{number}")
        with suppress(_Noted):
            reservations.reserve(f"buyer-{run}-{number}", order)
        if len(notes.calls) == _PER_FLUSH or number == count - 1:
            replies = shop.redis.pipeline(notes.calls)
            if any(str(reply[0]) != "OK" for reply in replies):
                raise RuntimeError(f"a reservation was refused: {replies!r}"[:300])
            notes.calls.clear()


def _untold(system: System) -> int:
    row = system.postgres.execute("SELECT count(*) FROM booking.outbox").fetchone()
    return int(row[0]) if row else 0


@contextmanager
def _unsettled(system: System) -> Iterator[Callable[[], int]]:
    """How many public events the settler has yet to deal with, by the offsets that it has committed."""
    servers, topics = system.stack.settings["KAFKA_BOOTSTRAP_SERVERS"], Topics()
    reader: Any = KafkaConsumer(bootstrap_servers=servers)
    partitions = [TopicPartition(topics.booking_events, p) for p in reader.partitions_for_topic(topics.booking_events)]
    ends: dict[TopicPartition, int] = reader.end_offsets(partitions)
    reader.close()
    admin: Any = KafkaAdminClient(bootstrap_servers=servers)

    def left() -> int:
        known = admin.list_group_offsets({topics.settler: partitions})[topics.settler]
        done = {partition: max(0, committed.offset) for partition, committed in known.items()}
        return sum(end - done.get(partition, 0) for partition, end in ends.items())

    try:
        yield left
    finally:
        admin.close()


@contextmanager
def _measured(system: System, figures: dict[str, Any], count: int) -> Iterator[None]:
    stack = system.stack
    roots = {"redis": stack.redis.pid, "postgres": stack.postgres.pid, "broker": stack.kafka.pid}
    pids = {role: [pid or 0] for role, pid in roots.items()}
    # Ours alone: the servers are children of this process.
    before, own, began = cpu.used(pids), time.process_time(), time.monotonic()
    yield
    figures["per_second"] = count / (time.monotonic() - began)
    spent = cpu.since(before, cpu.used(pids)) | {"worker": time.process_time() - own}
    figures["cpu_us"] = {role: used * 1e6 / count for role, used in spent.items()}


def _carry(system: System, shop: Wiring, step: str, loops: set[str], left: Callable[[], int]) -> Carried:
    """These loops of the worker, until nothing is left. Counted from the first that is carried: Kafka takes its time to
    admit a consumer."""
    figures: dict[str, Any] = {}
    all_of_them = count = left()

    def begun() -> bool:
        nonlocal count
        count = left()
        return count < all_of_them

    def carried() -> None:
        with _measured(system, figures, max(1, count)):
            _wait(step, lambda: not left())

    _run(shop, loops, begun, carried)
    return Carried(step, count, **figures)


def _run(shop: Wiring, loops: set[str], until: Callable[[], bool], then: Callable[[], None] = lambda: None) -> None:
    """These loops of the worker, until `until`, and while `then` lasts."""
    stop, threads = threading.Event(), threading.active_count()
    worker = Worker(shop, loops, stop)
    _wait("the worker", until)
    then()
    stop.set()
    worker.end()
    _wait("the worker's end", lambda: threading.active_count() <= threads)  # they would count as the next step's


def _wait(what: str, until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not until():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not done within {_PATIENCE_S:g} s")
        time.sleep(_LOOK_S)


def _expire(system: System, late: Wiring, count: int) -> Carried:
    """Every shard until nothing is due, as the sweeper does."""
    figures: dict[str, Any] = {}
    expired, longest, shards = 0, 0.0, list(late.shards)
    with _measured(system, figures, count):
        while shards:
            more = []
            for shard in shards:
                began = time.monotonic()
                swept = late.expire(shard)
                longest = max(longest, time.monotonic() - began)
                expired += swept.expired
                if swept.more:
                    more.append(shard)
            shards = more
    if expired != count:
        raise RuntimeError(f"{expired} of {count} reservations expired")
    return Carried("expiry in Redis", count, **figures, longest_ms=longest * 1000)


def _rebuild(system: System, shop: Wiring, count: int) -> Carried:
    """All shards, one after the other, each filled anew from Postgres."""
    figures: dict[str, Any] = {}
    with _measured(system, figures, count):
        for shard in shop.shards:
            shop.close_shard(shard)
            if not shop.rebuild()(shard):
                raise RuntimeError(f"shard {shard} is not open again")
    shop.epochs.refresh()
    return Carried("rebuild of all shards", count, **figures)
