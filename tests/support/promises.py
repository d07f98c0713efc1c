"""What Holdfast has promised, judged by what its clients have seen and by nothing else.

A client knows when it sent a call and when the answer came. What it was answered holds from then on; what it was not
answered may or may not have happened, at any time after. So a seat is *certainly* in use from the answer to reserve
until something may have ended it, and each check below only uses what is certain.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

NO_ANSWER = 0
_DEADLINE_SLACK_S = 0.005
"""Deadlines are told to the millisecond."""


@dataclass(frozen=True)
class Call:
    """One call of one client and what came of it: `sent` and `answered` in seconds since the epoch, of one clock with
    Redis. `status` is `NO_ANSWER` where none came."""

    verb: str
    user: str
    event_id: str
    sent: float
    answered: float
    status: int
    body: Mapping[str, Any] = field(default_factory=dict)
    booking_id: str | None = None
    key: str | None = None
    quantity: int = 0

    @property
    def done(self) -> bool:
        """202 leaves it open: whether there was money is not known yet."""
        return 200 <= self.status < 300 and self.status != 202

    @property
    def refused(self) -> bool:
        """For certain, and so without an effect. A 503 leaves it open."""
        return 400 <= self.status < 500


@dataclass
class Record:
    """Every call of every client, in the order in which the answers came."""

    calls: list[Call] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, call: Call) -> Call:
        with self._lock:
            self.calls.append(call)
        return call

    def of(self, *verbs: str) -> list[Call]:
        return [call for call in self.calls if call.verb in verbs]

    def by_booking(self) -> dict[str, list[Call]]:
        """The calls on each booking that a client knows, its 201 among them."""
        found: defaultdict[str, list[Call]] = defaultdict(list)
        for call in self.calls:
            booking_id = call.booking_id or (call.body.get("booking_id") if call.done else None)
            if booking_id:
                found[booking_id].append(call)
        return dict(found)

    def confirmed(self) -> dict[str, str]:
        """The confirmation codes that were answered, by booking."""
        return {c.booking_id: c.body["confirmation_code"] for c in self.of("confirm") if c.done and c.booking_id}


@dataclass(frozen=True)
class Loss:
    """Redis forgot something: from the last moment at which it certainly knew all until it was back, in seconds since
    the epoch."""

    began: float
    ended: float


Told = Mapping[tuple[str, str, int], float]
"""When the log was first told of (kind, booking, deadline in ms, 0 for an end), in seconds since the epoch."""


def void(record: Record, losses: Sequence[Loss], told: Told) -> list[Call]:
    """The answers that rule 3.7 may take back: of Redis alone, given before it was lost, and the log had not been told.

    A confirmation is never among them, and what was confirmed had reached Postgres."""
    confirmed = record.confirmed()
    return [
        call
        for call in record.calls
        if (entry := _entry(call))
        and entry[1] not in confirmed
        and any(call.sent < loss.ended and told.get(entry, loss.ended) >= loss.began for loss in losses)
    ]


def without(record: Record, calls: Iterable[Call]) -> Record:
    """The same history, in which these calls were not answered: no promise was made, and any effect is possible."""
    taken = {id(call) for call in calls}
    return Record([replace(call, status=NO_ANSWER, body={}) if id(call) in taken else call for call in record.calls])


def deadline_ms(call: Call) -> int:
    """What a reserve or an extend was answered."""
    return round(_moment(call.body["expires_at"]) * 1000)


def _entry(call: Call) -> tuple[str, str, int] | None:
    """What Redis told its outbox by this call; None where Postgres has given the answer, or nobody has."""
    booking_id = call.body.get("booking_id", "") if call.done else ""
    if call.verb in ("reserve", "extend") and booking_id:
        kind = "created" if call.verb == "reserve" else "extended"
        return kind, booking_id, deadline_ms(call)
    if call.verb in ("release", "cancel") and call.body.get("status") == "released":
        return "released", booking_id, 0
    return None


@dataclass(frozen=True)
class InUse:
    """Seats that are certainly in use from one moment to another."""

    user: str
    quantity: int
    begin: float
    end: float


def in_use(calls: Iterable[Call]) -> InUse | None:
    """What the calls on one booking promise; None if its reservation was never answered."""
    calls = list(calls)
    reserves = [call for call in calls if call.verb == "reserve" and call.done]
    if not reserves:
        return None
    confirmed = any(call.verb == "confirm" and call.done for call in calls)
    ends = [c.sent for c in calls if c.verb in ("release", "cancel") and not c.refused]
    if not confirmed:
        deadlines = [call.body["expires_at"] for call in calls if call.verb in ("reserve", "extend") and call.done]
        ends.append(max(map(_moment, deadlines)) - _DEADLINE_SLACK_S)
        # Who is refused a confirmation may have lost the reservation by it.
        ends += [call.sent for call in calls if call.verb == "confirm" and call.refused]
    first = min(reserves, key=lambda call: call.answered)
    return InUse(first.user, first.quantity, first.answered, min(ends, default=float("inf")))


def never_sold_twice(record: Record, event_id: str, capacity: int) -> None:
    """Invariant 2: at no instant were more seats in use than there were. `capacity`: at the beginning."""
    changes = _capacity_changes(record, event_id)
    _fits(_all_in_use(record, event_id), capacity, changes, f"seats of {event_id}")


def limits_held(record: Record, event_id: str, limit: int) -> None:
    """Invariant 8: nobody ever had more seats than the event admits to one user."""
    of_user: defaultdict[str, list[InUse]] = defaultdict(list)
    for use in _all_in_use(record, event_id):
        of_user[use.user].append(use)
    for user, uses in of_user.items():
        _fits(uses, limit, [], f"seats of {user}")


def keys_have_one_effect(record: Record) -> None:
    """Invariant 6: one booking for a user, event and idempotency key, however often it was asked for."""
    found: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    for call in record.of("reserve"):
        if call.done and call.key:
            found[call.user, call.event_id, call.key].add(call.body["booking_id"])
    doubled = {name: ids for name, ids in found.items() if len(ids) > 1}
    assert not doubled, f"a key has made several bookings: {doubled}"


def ends_are_final(record: Record) -> None:
    """Invariant 4: nothing succeeds on a booking after its end was answered; and a confirmation is never taken back."""
    for booking_id, calls in record.by_booking().items():
        ended = min((c.answered for c in calls if c.verb in ("release", "cancel") and c.done), default=float("inf"))
        late = [c for c in calls if c.verb in ("confirm", "extend", "release") and c.done and c.sent > ended]
        assert not late, f"{booking_id} had ended: {late}"
        confirmed = min((c.answered for c in calls if c.verb == "confirm" and c.done), default=float("inf"))
        lost = [c for c in calls if c.verb == "confirm" and c.sent > confirmed and c.refused]
        cancelled = min((c.sent for c in calls if c.verb == "cancel" and not c.refused), default=float("inf"))
        lost = [c for c in lost if c.answered < cancelled]
        assert not lost, f"{booking_id} was confirmed: {lost}"


def only_honest_statuses(record: Record) -> None:
    """503 rather than a guess, and never a 500; a 503 tells when to come again."""
    odd = [call for call in record.calls if call.status >= 500 and call.status != 503]
    assert not odd, f"{len(odd)} answers such as {odd[:3]}"


def _all_in_use(record: Record, event_id: str) -> list[InUse]:
    uses = (in_use(calls) for calls in record.by_booking().values() if calls[0].event_id == event_id)
    return [use for use in uses if use is not None and use.end > use.begin]


def _capacity_changes(record: Record, event_id: str) -> list[tuple[float, Callable[[set[int]], set[int]]]]:
    """What the capacity may be: from the moment a change is sent both are possible, until it is answered."""
    changes: list[tuple[float, Callable[[set[int]], set[int]]]] = []
    for call in record.of("capacity"):
        if call.event_id == event_id and not call.refused:
            changes.append((call.sent, lambda may, new=call.quantity: may | {new}))
            if call.done:
                changes.append((call.answered, lambda may, new=call.quantity: {new}))
    return changes


def _fits(
    uses: Sequence[InUse], capacity: int, changes: Sequence[tuple[float, Callable[[set[int]], set[int]]]], what: str
) -> None:
    """Ends come before beginnings of the same moment, and capacity grows before and shrinks after."""
    steps: list[tuple[float, int, Any]] = [(moment, 1, change) for moment, change in changes]
    steps += [(use.begin, 2, use.quantity) for use in uses]
    steps += [(use.end, 0, -use.quantity) for use in uses if use.end != float("inf")]
    may, taken = {capacity}, 0
    for moment, kind, step in sorted(steps, key=lambda each: each[:2]):
        if kind == 1:
            may = step(may)
        else:
            taken += step
        assert taken <= max(may), f"{taken} {what} were in use of {max(may)}, at {moment:.3f}"


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
