"""A schedule: a seed decides who plays, whose turn it is, who dies, what time passes and what Redis forgets. The same
seed gives the same schedule, on the model and on the real servers."""

from collections.abc import Callable
from random import Random
from typing import Any

from app.domain.model import Order
from tests.model.cast import LEFT, Cast
from tests.model.judge import Judge
from tests.model.log import Log
from tests.model.protections import FOCUS
from tests.model.stage import Broken, Stage
from tests.model.terms import CAPACITIES, EVENT, HOLD_SECONDS, PIN_LIMIT_MS, SHARD, USERS

STEPS = 1_500
WAYS = {
    "pay": 0.4,
    "extend": 0.4,
    "keys": 0.6,
    "admin": 0.4,
    "amnesia": 0.7,
    "days": 0.3,
    "relay": 0.8,
    "one by one": 0.5,
}
DAY_MS = 24 * 3600 * 1000
MakeWorld = Callable[[Stage, str | None], Any]


class Schedule:
    """`off`: the protection that is switched off, if any; then little else happens than what it protects from."""

    def __init__(self, seed: int, make_world: MakeWorld, off: str | None = None, focus: str | None = None) -> None:
        rng = Random(seed)
        self.rng, self.seed = rng, seed
        self.stage = Stage(
            rng,
            stickiness=rng.choice((0.0, 0.3, 0.7, 0.9)),
            kill_rate=rng.choice((0.0, 0.0, 0.01, 0.03)),
            slow=rng.choice(("nobody", "rebuilder", "consumer", "sweeper", "operator", "saga")),
            stale_rate=0.1 if seed % 4 else 0.4,
        )
        self.world = world = make_world(self.stage, off)
        self.judge = Judge(world.clock)
        self.log = Log(world.recorder, world.reservations, off)
        self.cast = Cast(self.stage, world, self.judge, rng, self.log)
        # A schedule in which little happens, often, finds more than one in which everything happens, once.
        self.ways = {way for way, often in WAYS.items() if rng.random() < often}
        if focus := focus or off:
            self.ways = self.ways & {"one by one"} | set(FOCUS[focus])
        self.hurry = rng.choice((0.0, 0.02, 0.1))

    def play(self) -> None:
        """Raises `Broken`."""
        try:
            self.open()
            self._enter()
            self.stage.run(STEPS, self._after_each)
            self.come_to_rest()
        except Exception as error:
            broken = error if isinstance(error, Broken) else Broken(f"a bug, which clients see as a 500: {error!r}")
            broken.add_note(f"SEED={self.seed}\n  " + "\n  ".join(self.stage.told[-120:]))
            raise broken from error.__cause__
        finally:
            self.close()

    def open(self) -> None:
        """The sale begins."""
        self.cast.rebuild(False)(SHARD)
        self.world.save()

    def close(self) -> None:
        self.stage.close()
        self.world.close()

    def look(self) -> None:
        """Raises `Broken` if something does not hold."""
        self.judge.look(self.world.view())

    def _enter(self) -> None:
        rng, cast, ways = self.rng, self.cast, self.ways
        play = cast.mover if "moves" in ways else cast.client
        for n in range(rng.randrange(3, 10)):
            user = rng.choice(USERS)
            key = rng.choice(("once", "twice", "twice", None)) if "keys" in ways else None
            order = Order(EVENT, rng.choice(tuple(CAPACITIES)), rng.choice((1, 1, 2)), idempotency_key=key)
            for twice in "ab" if key == "twice" else "a":
                self.stage.spawn(f"{user} {n}{twice}", play, user, self._mind(n, twice), order, ways)
        if "relay" in ways:
            self._several("relay", rng.randrange(3), cast.relay)
            self._several("consumer", rng.randrange(1, 3), cast.consumer)
        self._several("sweeper", rng.randrange(3), cast.sweeper)
        self._several("auditor", int(rng.random() < 0.2), cast.auditor)
        if "pay" in ways:
            self._several("saga", rng.randrange(1, 3), cast.saga)
        if "admin" in ways:
            self._several("operator", rng.randrange(1, 5), cast.admin)
        if "cuts" in ways:
            self._several("operator", rng.randrange(3, 6), cast.cutter)
        if "amnesia" in ways:
            self._several("fate", rng.randrange(1, 3), cast.amnesia, mortal=False)
        if "days" in ways:
            self._several("day", rng.randrange(1, 3), self._a_day_passes, mortal=False)

    def _several(self, name: str, count: int, play: Callable[[Random], None], mortal: bool = True) -> None:
        for n in range(count):
            self.stage.spawn(f"{name} {n}", play, self._mind(name, n), mortal=mortal)

    def _mind(self, *whose: object) -> Random:
        """What somebody wants does not depend on when others want what."""
        return Random(f"{self.seed} {whose}")

    def _a_day_passes(self, rng: Random) -> None:
        for _ in range(rng.randrange(60)):
            self.stage.pause()
        self.passes(DAY_MS)

    def passes(self, milliseconds: int) -> None:
        self.world.clock.ms += milliseconds
        self.stage.say(f"{milliseconds / 1000:.0f} s pass")

    def _after_each(self) -> None:
        if self.rng.random() < 0.05 and self.world.is_open():
            self.world.save()
        if self.rng.random() < self.hurry:
            self.passes(self.rng.choice((1_000, 20_000, HOLD_SECONDS * 500, HOLD_SECONDS * 1_000)))
        self.look()

    def come_to_rest(self) -> None:
        """Whoever rebuilds ends it; payments end; all is due, all is told; and then all of it once more."""
        stage, world, cast = self.stage, self.world, self.cast
        stage.quiet = True
        for actor in [a for a in stage.actors if not a.name.startswith("rebuilder")]:
            stage.kill(actor)
        stage.run(1_000, self.look)
        cast.till.talks = True
        for _ in range(20):
            cast.sweep()
            cast.pay_on()
            self._tell_everything()
            world.clock.ms += PIN_LIMIT_MS
            if not world.payments.list_payments(LEFT, None, 1):
                break
        world.clock.ms += 4 * HOLD_SECONDS * 1000
        for _ in range(2):
            cast.sweep()
            world.clock.ms += PIN_LIMIT_MS
            self._tell_everything()
            self.look()
        captured = {
            payment.booking_id
            for payment in world.payments.list_payments(None, None, 100)
            if cast.till.states.get(payment.number) == "captured"
        }
        self.judge.at_rest(world.view(), self.log, captured)
        self.log.replay(self.rng)
        self.judge.at_rest(world.view(), self.log, captured)

    def _tell_everything(self) -> None:
        log = self.log
        while self.cast.carry(100, 100):
            pass
        for record in log.uncommitted():
            if log.handle(record):
                log.commit([record])


def hunt(make_world: MakeWorld, off: str | None, seeds: range) -> tuple[int, Broken] | None:
    """The first schedule that breaks, and what breaks in it; None if all hold."""
    for seed in seeds:
        try:
            Schedule(seed, make_world, off).play()
        except Broken as broken:
            return seed, broken
    return None
