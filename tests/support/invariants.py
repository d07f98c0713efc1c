"""The invariants of the two stores at rest, and of what was told, asked of real servers. Those of the clients' own
history are in `promises`."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
from kafka import KafkaConsumer, TopicPartition

from app.wiring import Wiring
from dev.process import ROOT
from tests.support.promises import Call, Record, deadline_ms
from tests.support.transitions import SETTLED, Transition, wrong_with
from worker.topics import Topics

_READ_SECONDS = 30
QUESTIONS = sorted(path.stem for path in (ROOT / "sql" / "reconcile").glob("*.sql"))
Rebuilt = Mapping[tuple[int, int], float]
"""When the shard came to the epoch, seconds since the epoch of Unix."""


def stores_agree(shop: Wiring, event_id: str | None = None) -> None:
    """Invariants 1 and 3: nothing differs between Redis, the bookings and the history, and no seat is lost."""
    report = shop.reconcile(event_id)
    assert not report.findings, f"{len(report.findings)} differences, such as {report.findings[:3]}"
    for counted, live in report.zones:
        assert live is not None
        name, held = f"{counted.event_id}/{counted.zone_id}", sum(live.quantities.values())
        seats = shop.availability.zone(counted.event_id, counted.zone_id).seats
        told = (seats.capacity, seats.confirmed, seats.held, seats.available)
        true = (counted.capacity, counted.booked_confirmed, held, counted.capacity - counted.booked_confirmed - held)
        assert told == true, f"{name}: Redis tells {told}, it should {true} (capacity, confirmed, held, available)"


def photographed_at_rest(shop: Wiring) -> None:
    """What the question of drift compares. Under load two photographs in a row may show the same by chance."""
    for _ in range(2):
        shop.photograph()


def questions_find_nothing(database: str, questions: Iterable[str] = QUESTIONS) -> None:
    """The questions of `sql/reconcile`, as an operator would ask them."""
    with psycopg.connect(database) as connection:
        for question in questions:
            found = connection.execute((ROOT / "sql" / "reconcile" / f"{question}.sql").read_bytes()).fetchmany(3)
            assert not found, f"{question} finds {found}"


def reservations_end_once(database: str, rebuilt: Rebuilt | None = None, event_id: str | None = None) -> None:
    """Invariant 4: what has ended has ended, and what was confirmed is.

    Only an end of which Postgres had not heard when its shard was rebuilt is void: the reservation is live again, and
    ends again. Should that first end be told late after all, both are in its history. `rebuilt`: see `rebuilds`."""
    wrong: list[str] = []
    for shard, booking_id, status, rows in _rows(
        database,
        "SELECT b.shard, b.booking_id::text, b.status, jsonb_agg(jsonb_build_array(h.epoch, h.version, h.status, "
        "h.cause, extract(epoch FROM h.recorded_at))) FROM booking.bookings AS b JOIN booking.booking_history AS h "
        "USING (booking_id) WHERE event_id = coalesce(%s, event_id) GROUP BY b.booking_id",
        event_id,
    ):
        history = [
            Transition(epoch, *what, at >= (rebuilt or {}).get((shard, epoch + 1), math.inf))
            for epoch, *what, at in rows
        ]
        if why := wrong_with(history, status):
            wrong.append(f"{booking_id}: {why}")
    assert not wrong, f"{len(wrong)} histories cannot be, such as {wrong[:3]}"


def rebuilds(bootstrap_servers: str) -> Rebuilt:
    """As the log tells them."""
    found: dict[tuple[int, int], float] = {}
    for each in _read(bootstrap_servers, Topics().booking_events):
        headers = {name: value.decode() for name, value in each.headers}
        if headers["ce_type"] == "shard.rebuilt":
            shard, epoch = map(int, headers["ce_id"].removeprefix("shard/").split(":"))
            found[shard, epoch] = datetime.fromisoformat(headers["ce_time"]).timestamp()
    return found


def answers_are_true(database: str, record: Record) -> None:
    """Invariant 5: what was answered is in Postgres, and what was refused for certain is not."""
    rows = _rows(database, "SELECT booking_id::text, status, confirmation_code, idempotency_key FROM booking.bookings")
    booked = {booking_id: (status, code) for booking_id, status, code, _ in rows}
    codes = record.confirmed()
    wrong: list[str] = []
    for booking_id, calls in record.by_booking().items():
        status, code = booked.get(booking_id, (None, None))
        done = {call.verb for call in calls if call.done}
        open_ = {call.verb for call in calls if not call.refused}
        if "confirm" in done and (status not in _after("confirm", open_) or code != codes[booking_id]):
            wrong.append(f"{booking_id} was confirmed as {codes[booking_id]} and is {status} {code}")
        elif "confirm" not in open_ and status in ("confirmed", "cancelled"):
            wrong.append(f"{booking_id} is {status} and nobody was answered so")
        elif "release" in done and status != "released":
            wrong.append(f"{booking_id} was released and is {status}")
        elif "cancel" in done and status not in ("cancelled", "released"):
            wrong.append(f"{booking_id} was cancelled and is {status}")
    keys = {key for *_, key in rows if key}
    may_be = {call.key for call in record.of("reserve") if not call.refused}
    refused = {call.key for call in record.of("reserve") if call.refused and call.key} - may_be
    wrong += [f"key {key} was refused and has a booking" for key in refused & keys]
    assert not wrong, f"{len(wrong)} answers are not true, such as {wrong[:3]}"


def not_recorded(database: str, calls: Sequence[Call]) -> list[Call]:
    """Those of the calls that were answered, and of whose effect Postgres knows nothing, or that it was taken back."""
    rows = _rows(
        database,
        "SELECT booking_id::text, status, cause = 'rebuild', booking.to_ms(deadline) FROM booking.bookings "
        "WHERE booking_id = ANY (%s::uuid[])",
        [call.body["booking_id"] for call in calls],
    )
    known = {booking_id: (status, rebuilt, deadline) for booking_id, status, rebuilt, deadline in rows}
    found: list[Call] = []
    for call in calls:
        status, rebuilt, deadline = known.get(call.body["booking_id"], (None, True, 0))
        ends = call.verb in ("release", "cancel")
        if (status != "released") if ends else (rebuilt or deadline < deadline_ms(call)):
            found.append(call)
    return found


def transitions_are_told_once(
    database: str, bootstrap_servers: str, prefix: str = "", event_id: str | None = None
) -> None:
    """Invariant 9: a history row for each transition, one public event (by its id) for each end and confirmation.

    Of ends in several epochs (see `reservations_end_once`) one is told: that which is the booking's."""
    told = _told(bootstrap_servers, Topics(prefix).booking_events)
    for booking_id, statuses in _rows(
        database,
        "SELECT booking_id::text, array_agg(DISTINCT h.status) FILTER (WHERE h.status IN (b.status, 'confirmed') "
        "OR (SELECT count(DISTINCT e.epoch) FROM booking.booking_history AS e "
        "WHERE e.booking_id = b.booking_id AND e.status = ANY (%s)) = 1) "
        "FROM booking.booking_history AS h JOIN booking.bookings AS b USING (booking_id) "
        "WHERE event_id = coalesce(%s, event_id) AND h.status = ANY (%s) GROUP BY booking_id, b.status",
        list(SETTLED),
        event_id,
        list(SETTLED),
    ):
        expected = {f"{booking_id}:{status}" for status in statuses or ()}
        found = set(told.pop(booking_id, ()))
        assert found == expected, f"{booking_id} came to {sorted(expected)}, and {sorted(found)} was told"


def _after(verb: str, also: set[str]) -> tuple[str, ...]:
    return ("confirmed", "cancelled") if "cancel" in also else ("confirmed",)


def _told(bootstrap_servers: str, topic: str) -> Mapping[str, set[str]]:
    """The ids of the public events of each booking. Duplicates share their id: two that differ are none."""
    told: defaultdict[str, set[str]] = defaultdict(set)
    values: dict[str, bytes] = {}
    for each in _read(bootstrap_servers, topic):
        ce_id = dict(each.headers)["ce_id"].decode()
        told[each.key.decode()].add(ce_id)
        assert values.setdefault(ce_id, each.value) == each.value, f"{ce_id} was told twice, and not the same"
    return told


def _read(bootstrap_servers: str, topic: str) -> Iterator[Any]:
    """The records of a topic, from its beginning to its present end."""
    consumer: Any = KafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        consumer_timeout_ms=_READ_SECONDS * 1000,
    )
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(partitions)
        ends: dict[TopicPartition, int] = consumer.end_offsets(partitions)
        while any(consumer.position(each) < ends[each] for each in partitions):
            for records in consumer.poll(500).values():
                yield from records
    finally:
        consumer.close()


def _rows(database: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(query.encode(), parameters or None).fetchall()


def each_of(*checks: Callable[[], None]) -> None:
    """All of them, so that a red storm tells all that is wrong."""
    wrong: list[str] = []
    for check in checks:
        try:
            check()
        except AssertionError as error:
            wrong.append(str(error).splitlines()[0])
    assert not wrong, "\n".join(wrong)
