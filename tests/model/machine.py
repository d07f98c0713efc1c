"""The same stage as a state machine of Hypothesis, which chooses the steps itself: where a schedule breaks, it takes
steps away until only those are left without which it holds.

A rule begins a call of one of the services and says before which of its steps it stops; another has it go on, or dies
in its place. What must hold is what holds in a schedule, and is asked after each step."""

import sys
from collections.abc import Sequence
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.reporting import with_reporter
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from app.domain.model import Booking, Order
from tests.model.schedule import DAY_MS, MakeWorld, Schedule
from tests.model.stage import Actor, Broken
from tests.model.terms import CAPACITIES, EVENT, HOLD_SECONDS, PIN_LIMIT_MS, USERS

WAITS = 60
"""Steps in which another's lock may not come free: then somebody else has the turn."""
REBUILDERS = 3
"""At work at once, at most: many of them would only wait for each other."""
stops = st.none() | st.integers(0, 12)
"""Before which of its steps a call stops; None: it is made whole."""
which = st.integers(0, 9)
"""One of those that there are."""


class Seam(RuleBasedStateMachine):
    make_world: ClassVar[MakeWorld]
    off: ClassVar[str | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.schedule = Schedule(0, type(self).make_world, self.off)
        self.stage, self.cast = self.schedule.stage, self.schedule.cast
        self.stage.stale_rate = 0.0
        self.known: list[tuple[str, Booking]] = []
        self.holds = True
        self.schedule.open()

    def _begin(self, name: str, stop: int | None, play: Any, *arguments: Any, mortal: bool = True) -> None:
        self.stage.spawn(name, play, *arguments, mortal=mortal)
        self._go_on(self.stage.actors[-1], stop)

    def _go_on(self, actor: Actor, stop: int | None) -> None:
        for _ in range(WAITS if stop is None else stop):
            if actor in self.stage.actors:
                self.holds = False
                self.stage.turn(actor)
                self.look()

    def look(self) -> None:
        self.holds = False
        self.schedule.look()
        self.holds = True

    # --- customers and the operator ---

    @rule(
        user=st.sampled_from(USERS),
        zone=st.sampled_from(tuple(CAPACITIES)),
        quantity=st.integers(1, 2),
        key=st.sampled_from((None, "once")),
        stop=stops,
    )
    def reserve(self, user: str, zone: str, quantity: int, key: str | None, stop: int | None) -> None:
        def play() -> None:
            if booking := self.cast.reserved(user, Order(EVENT, zone, quantity, idempotency_key=key)):
                self.known.append((user, booking))

        self._begin(user, stop, play)

    def _one(self, number: int) -> tuple[str, Booking]:
        return self.known[number % len(self.known)]

    @precondition(lambda self: self.known)
    @rule(number=which, stop=stops)
    def release(self, number: int, stop: int | None) -> None:
        user, booking = self._one(number)
        self._begin(user, stop, self.cast.released, user, booking)

    @precondition(lambda self: self.known)
    @rule(number=which, key=st.sampled_from((None, "once")), stop=stops)
    def extend(self, number: int, key: str | None, stop: int | None) -> None:
        user, booking = self._one(number)
        self._begin(user, stop, self.cast.extended, user, booking, key)

    @precondition(lambda self: self.known)
    @rule(number=which, card=st.sampled_from((None, "card")), stop=stops)
    def confirm(self, number: int, card: str | None, stop: int | None) -> None:
        user, booking = self._one(number)
        self._begin(user, stop, self.cast.confirmed, user, booking, card)

    @precondition(lambda self: self.known)
    @rule(number=which, stop=stops)
    def cancel(self, number: int, stop: int | None) -> None:
        user, booking = self._one(number)
        self._begin(user, stop, self.cast.cancelled, user, booking)

    @rule(zone=st.sampled_from(tuple(CAPACITIES)), capacity=st.integers(1, 4), stop=stops)
    def open(self, zone: str, capacity: int, stop: int | None) -> None:
        self._begin("operator", stop, self.cast.opened, zone, capacity)

    # --- the worker ---

    @rule(stop=stops)
    def relay(self, stop: int | None) -> None:
        self._begin("relay", stop, self.cast.carry, 3, 3)

    @precondition(lambda self: self.schedule.log.uncommitted())
    @rule(number=which, commits=st.booleans(), stop=stops)
    def consume(self, number: int, commits: bool, stop: int | None) -> None:
        records = self.schedule.log.uncommitted()
        self._begin("consumer", stop, self.cast.consume, [records[number % len(records)]], lambda: commits)

    @rule(stop=stops)
    def sweep(self, stop: int | None) -> None:
        self._begin("sweeper", stop, self.cast.sweep)

    @rule(stop=stops)
    def settle_stale(self, stop: int | None) -> None:
        self._begin("auditor", stop, self.cast.settle_stale)

    @rule(stop=stops)
    def pay_on(self, stop: int | None) -> None:
        self._begin("saga", stop, self.cast.pay_on)

    # --- turns, deaths, time and amnesia ---

    @precondition(lambda self: self.stage.actors)
    @rule(number=which, stop=stops, stale=st.booleans())
    def go_on(self, number: int, stop: int | None, stale: bool) -> None:
        """`stale`: it has not heard of the last epoch."""
        self.stage.stale_rate = float(stale)
        self._go_on(self.stage.actors[number % len(self.stage.actors)], stop)
        self.stage.stale_rate = 0.0

    @precondition(lambda self: any(actor.mortal for actor in self.stage.actors))
    @rule(number=which)
    def die(self, number: int) -> None:
        mortal = [actor for actor in self.stage.actors if actor.mortal]
        self.stage.kill(mortal[number % len(mortal)])
        self.look()

    @rule(milliseconds=st.sampled_from((1_000, PIN_LIMIT_MS, HOLD_SECONDS * 1_000, DAY_MS)))
    def pass_time(self, milliseconds: int) -> None:
        self.schedule.passes(milliseconds)
        self.look()

    @precondition(lambda self: self.schedule.world.is_open())
    @rule()
    def save(self) -> None:
        self.schedule.world.save()

    @precondition(lambda self: sum(not actor.mortal for actor in self.stage.actors) < REBUILDERS)
    @rule(how=st.sampled_from(((False, True), (False, False), (True, False))), with_log=st.booleans(), stop=stops)
    def forget(self, how: tuple[bool, bool], with_log: bool, stop: int | None) -> None:
        self.cast.forget(*how)
        self._begin("rebuilder", stop, self.cast.rebuilder, with_log, mortal=False)

    def teardown(self) -> None:
        try:
            # Hypothesis may also have given the example up: what breaks then would be taken for another's.
            if self.holds and sys.exc_info()[0] is None:
                self.schedule.come_to_rest()
        finally:
            self.schedule.close()


def _machine(make: MakeWorld, off: str | None) -> type[Seam]:
    return type("Machine", (Seam,), {"make_world": staticmethod(make), "off": off})


def replay(steps: Sequence[str], make: MakeWorld, off: str | None = None) -> None:
    """What `run` has told, as it is written there. Raises `Broken`."""
    state = _machine(make, off)()
    try:
        for step in steps:
            eval(f"state.{step}", {"state": state})
    finally:
        state.teardown()


def run(first: int, make: MakeWorld, examples: int, off: str | None = None) -> tuple[str, list[str]] | None:
    """What breaks, and the fewest steps that Hypothesis has found to break it; None if all holds. `first`: its seed."""
    machine = seed(first)(_machine(make, off))
    told: list[str] = []
    with with_reporter(told.append):
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=15 if off else 40,
                    database=None,
                    deadline=None,
                    phases=(Phase.generate, Phase.shrink),
                    report_multiple_bugs=False,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except Broken as broken:
            lines = "\n".join([*told, *getattr(broken, "__notes__", ())]).splitlines()
            steps_left = [line.removeprefix("state.") for line in lines if line.startswith("state.")]
            return str(broken), steps_left[:-1]  # teardown is the last
    return None
