"""What must hold, judged from both stores as they stand and from what clients were told. One judge for both worlds."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from itertools import pairwise

from app.domain.idempotency import KEPT_MS
from app.domain.model import Booking
from tests.model.log import Log
from tests.model.stage import Broken
from tests.model.terms import LIMIT, Clock, short
from tests.support.transitions import Transition, wrong_with

Claim = tuple[str, int, int]
"""The answer to a key: booking, when, deadline."""


@dataclass(frozen=True)
class Live:
    """A reservation in Redis, live or ended a short while ago."""

    state: str
    user: str
    zone: str
    quantity: int
    deadline: int
    key: str
    reserved_at: int

    @property
    def is_live(self) -> bool:
        return self.state in ("reserved", "pinned")


@dataclass(frozen=True)
class Recorded:
    """A booking in Postgres."""

    status: str
    user: str
    zone: str
    quantity: int
    deadline: int
    key: str
    reserved_at: int
    cause: str


@dataclass
class View:
    """Both stores at one moment; of Redis only what it sells by."""

    is_open: bool = False
    epochs: str = ""
    zones: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """In Postgres: capacity, confirmed, version."""
    users: dict[str, tuple[int, int]] = field(default_factory=dict)
    """In Postgres: confirmed, version."""
    rows: dict[str, Recorded] = field(default_factory=dict)
    claims: dict[tuple[str, str, str], Claim] = field(default_factory=dict)
    history: dict[str, list[Transition]] = field(default_factory=dict)
    payments: list[tuple[str, str, str | None]] = field(default_factory=list)
    """State, booking, the booking that it was first for."""
    sold_by: dict[str, tuple[int, int, int, int, bool]] = field(default_factory=dict)
    """In Redis, by zone: capacity, confirmed, version, held, whether a ceiling stands."""
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """In Redis, by user: confirmed, held."""
    live: dict[str, Live] = field(default_factory=dict)


@dataclass
class Judge:
    clock: Clock
    amnesias: int = 0
    view: View = field(default_factory=View)
    confirmed: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    released: dict[str, int] = field(default_factory=dict)
    """Booking: how many amnesias there had been."""
    deadlines: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Told last, and how many amnesias there had been."""
    recorded: dict[str, int] = field(default_factory=dict)
    """Booking: the deadline that Postgres had."""
    answers: dict[tuple[str, str, str], tuple[str, int, int, int]] = field(default_factory=dict)
    """To a key: booking, deadline, when, how many amnesias there had been."""

    # --- what clients are told ---

    def reserved(self, user: str, key: str | None, booking: Booking) -> None:
        if booking.booking_id not in self.deadlines:
            self.deadlines[booking.booking_id] = booking.deadline_ms, self.amnesias
        self._answered(user, "reserve", key, booking)

    def extended(self, user: str, key: str | None, booking: Booking, replayed: bool) -> None:
        if not replayed:
            self.deadlines[booking.booking_id] = booking.deadline_ms, self.amnesias
        self._answered(user, "extend", key, booking)

    def _answered(self, user: str, verb: str, key: str | None, booking: Booking) -> None:
        """The same as before, for 24 h; what Redis forgot before Postgres heard of it is void."""
        if not key:
            return
        # Postgres may hear of a reservation from its extension first: of reserve, the booking is the answer.
        answer = booking.booking_id, booking.deadline_ms if verb == "extend" else 0
        claim = self.view.claims.get((user, verb, key))
        recorded = claim and (claim[0], claim[2] if verb == "extend" else 0)
        if claim and self.clock.ms - claim[1] < KEPT_MS and recorded != answer:
            raise Broken(
                f"{user}'s key to {verb} is recorded as {short(claim[0])}'s, and answered with {short(answer[0])}"
            )
        first = self.answers.get((user, verb, key))
        if first is None or self.clock.ms - first[2] >= KEPT_MS or first[3] != self.amnesias:
            if first and self.clock.ms - first[2] >= KEPT_MS and first[:2] == answer:
                raise Broken(f"{user}'s key to {verb} is still replayed after 24 hours")
            if first is None or first[:2] != answer:
                self.answers[user, verb, key] = *answer, self.clock.ms, self.amnesias
        elif first[:2] != answer:
            raise Broken(
                f"{user}'s key to {verb} was answered with {short(first[0])}, and then with {short(answer[0])}"
            )

    # --- at every step ---

    def look(self, view: View) -> None:
        self.view = view
        for zone, (capacity, confirmed, _) in view.zones.items():
            if confirmed > capacity:
                raise Broken(f"{confirmed} of {capacity} seats of {zone} are sold")
        if view.is_open:
            self._seats(view)
            self._counters(view)
            self._deadlines(view)
        self._keys(view)
        self._promises(view)

    def _seats(self, view: View) -> None:
        """Invariants 2 and 8, at every instant: what is sold and what is promised."""
        seats: defaultdict[str, int] = defaultdict(int)
        taken: defaultdict[str, int] = defaultdict(int)
        for booking_id, hold in view.live.items():
            row = view.rows.get(booking_id)
            if hold.is_live and (row is None or row.status == "reserved"):
                seats[hold.zone] += hold.quantity
                taken[hold.user] += hold.quantity
        for zone, (capacity, confirmed, _) in view.zones.items():
            if confirmed + seats[zone] > capacity:
                raise Broken(f"zone {zone}: {confirmed} sold + {seats[zone]} promised > {capacity}")
        for user, promised in taken.items():
            confirmed = view.users.get(user, (0, 0))[0]
            if confirmed + promised > LIMIT:
                raise Broken(f"{user} is past the limit: {confirmed} sold + {promised} promised > {LIMIT}")

    def _counters(self, view: View) -> None:
        """Rule 3.5."""
        held: defaultdict[str, int] = defaultdict(int)
        by_user: defaultdict[str, int] = defaultdict(int)
        for hold in view.live.values():
            if hold.is_live:
                held[hold.zone] += hold.quantity
                by_user[hold.user] += hold.quantity
        for zone, (_, _, _, counted, _) in view.sold_by.items():
            if counted != held[zone]:
                raise Broken(f"zone {zone} counts {counted} held seats, and has {held[zone]}")
        for user, (_, counted) in view.counts.items():
            if counted != by_user[user]:
                raise Broken(f"{user} is counted as holding {counted} seats, and holds {by_user[user]}")

    def _deadlines(self, view: View) -> None:
        for booking_id, row in view.rows.items():
            if row.status != "reserved":
                continue
            hold = view.live.get(booking_id)
            if hold is None:
                raise Broken(f"Postgres keeps the reservation {short(booking_id)}, which Redis does not know")
            if hold.is_live and hold.deadline < row.deadline:
                raise Broken(f"{short(booking_id)} is kept for a shorter time than Postgres has recorded")
        for booking_id, (told, amnesias) in self.deadlines.items():
            hold = view.live.get(booking_id)
            early = hold and (hold.state == "expired" or (hold.is_live and hold.deadline < told))
            unpinned = booking_id not in view.rows or view.rows[booking_id].cause not in ("unconfirmed", "rebuild")
            if early and amnesias == self.amnesias and told > self.clock.ms and unpinned:
                raise Broken(f"{short(booking_id)} ends before the deadline that its holder was told")

    def _keys(self, view: View) -> None:
        """Invariant 6: one effect of a key within 24 hours."""
        standing: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        for booking_id, row in view.rows.items():
            if row.key and row.status in ("reserved", "confirmed", "cancelled"):
                standing[row.user, row.key].append(row.reserved_at)
            recorded = self.recorded.get(booking_id, 0)
            if row.status == "reserved" and row.deadline < recorded:
                raise Broken(f"the deadline of {short(booking_id)} moves back in Postgres")
            self.recorded[booking_id] = row.deadline
        if view.is_open:
            for booking_id, hold in view.live.items():
                if hold.key and hold.is_live and booking_id not in view.rows:
                    standing[hold.user, hold.key].append(hold.reserved_at)
        for (user, key), times in standing.items():
            times.sort()
            if any(later - earlier < KEPT_MS for earlier, later in pairwise(times)):
                raise Broken(f"two bookings of {user} stand for one idempotency key")
            claim = view.claims.get((user, "reserve", key))
            owner = view.rows.get(claim[0]) if claim else None
            dead = owner is not None and owner.status == "expired" and owner.cause == "rebuild"
            if claim and dead and any(0 <= at - claim[1] < KEPT_MS for at in times):
                raise Broken(f"a dead booking of {user} owns the idempotency key of one that stands")

    def _promises(self, view: View) -> None:
        for booking_id in self.confirmed:
            status = view.rows[booking_id].status if booking_id in view.rows else "unknown"
            if status != "confirmed" and not (status == "cancelled" and booking_id in self.cancelled):
                raise Broken(f"the acknowledged booking {short(booking_id)} is {status}")
        for booking_id, amnesias in self.released.items():
            row = view.rows.get(booking_id)
            if row and row.status == "confirmed" and amnesias == self.amnesias:
                raise Broken(f"{short(booking_id)} was released, and is confirmed")

    # --- at rest ---

    def at_rest(self, view: View, log: Log, captured: set[str]) -> None:
        """Everybody is done, everything has been told. `captured`: bookings for which the provider has the money."""
        events = log.told()
        self.view = view
        if not view.is_open:
            raise Broken(f"closed for ever: {view.epochs}")
        self.look(view)
        for zone, facts in view.zones.items():
            if zone not in view.sold_by:
                raise Broken(f"at rest Redis does not know zone {zone}")
            capacity, confirmed, version, held, ceiling = view.sold_by[zone]
            if ceiling:
                raise Broken(f"a ceiling stands on {zone} for ever")
            theirs, ours = f"{confirmed}/{capacity}@{version}", f"{facts[1]}/{facts[0]}@{facts[2]}"
            if theirs != ours:
                raise Broken(f"at rest Redis has {theirs} of {zone}, Postgres {ours}")
            if held:
                raise Broken(f"at rest {held} seats of {zone} are held by nobody")
        for user, (confirmed, _) in view.users.items():
            if view.counts.get(user, (0, 0))[0] != confirmed:
                raise Broken(f"at rest {user} has {confirmed} seats in Postgres, {view.counts.get(user)} in Redis")
        for booking_id, row in view.rows.items():
            if row.status == "reserved":
                raise Broken(f"Postgres keeps the reservation {short(booking_id)}, which Redis does not know")
            wanted = ["confirmed", "cancelled"] if row.status == "cancelled" else [row.status]
            if sorted(events.get(booking_id, [])) != sorted(wanted):
                raise Broken(f"{short(booking_id)} is {row.status}, and the world was told {events.get(booking_id)}")
        self._history(view, log)
        self._money(view, captured)

    def _history(self, view: View, log: Log) -> None:
        """Invariants 4 and 9: what the log tells is there, and what is there can have happened."""
        for booking_id, transition in log.transitions():
            kept = [replace(row, late=False) for row in view.history.get(booking_id, ())]
            if transition not in kept:
                raise Broken(f"{short(booking_id)}: {transition} is not in its history: {', '.join(map(str, kept))}")
        for booking_id, row in view.rows.items():
            history = view.history.get(booking_id, [])
            if wrong := wrong_with(history, row.status):
                raise Broken(f"{short(booking_id)}: {wrong}: {', '.join(map(str, sorted(history)))}")

    def _money(self, view: View, captured: set[str]) -> None:
        """Invariant 7."""
        for state, booking_id, _ in view.payments:
            if state in ("intent", "pending", "voiding", "refunding"):
                raise Broken(f"a payment for {short(booking_id)} stays {state}")
        paid = {booking_id for state, booking_id, _ in view.payments if state == "captured"}
        if paid != captured:
            theirs, ours = (sorted(map(short, bookings)) for bookings in (captured, paid))
            raise Broken(f"the provider has the money for {theirs}, Postgres for {ours}")
        for booking_id in paid:
            if view.rows[booking_id].status != "confirmed":
                raise Broken(f"{short(booking_id)} is paid, and {view.rows[booking_id].status}")
