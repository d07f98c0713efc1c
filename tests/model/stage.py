"""The stage: processes that run one step at a time, in an order that a seed decides; each may die at any step.

A process is a greenlet. It runs until it is about to call a store (`pause`), then waits for its turn: a script, and a
statement of Postgres, is atomic, so nothing else can come between two pauses. The same code plays on the model and on
the real servers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from greenlet import getcurrent, greenlet


class Broken(AssertionError):
    """Something that must hold does not."""


@dataclass
class Actor:
    name: str
    play: Callable[[], None]
    mortal: bool = True
    """Whoever is not is taken up again by another: somebody always rebuilds, and asks about payments."""
    body: greenlet = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.body = greenlet(self.play)


@dataclass
class Stage:
    """`stickiness`: how often the one whose turn it was goes on; `kill_rate`: how often whoever has the turn dies;
    `slow`: those whose name begins so have their turn ten times as rarely; `stale_rate`: how often a process goes by
    the epoch before the last."""

    rng: Random
    stickiness: float = 0.0
    kill_rate: float = 0.0
    slow: str = "nobody"
    stale_rate: float = 0.1
    actors: list[Actor] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    quiet: bool = False
    _current: Actor | None = None

    def spawn(self, name: str, play: Callable[..., None], *arguments: Any, mortal: bool = True) -> None:
        self.actors.append(Actor(name, partial(play, *arguments), mortal))

    def pause(self) -> None:
        """Another may run now. Of no effect outside of an actor: then nobody else plays."""
        parent = getcurrent().parent
        if parent is not None and self._current is not None:
            parent.switch()

    def say(self, what: str) -> None:
        self.told.append(f"{self._current.name if self._current else 'stage'}: {what}")

    def run(self, steps: int, after_each: Callable[[], None]) -> None:
        """Up to `steps` steps of whoever has the turn."""
        for _ in range(steps):
            if not self.actors:
                return
            if self._current not in self.actors or self.rng.random() >= self.stickiness:
                self._current = self.rng.choice(self.actors)
                if self._current.name.startswith(self.slow) and self.rng.random() < 0.9:
                    self._current = self.rng.choice(self.actors)
            actor = self._current
            if not self.quiet and self.rng.random() < self.kill_rate:
                self.kill(actor)
                if not actor.mortal:
                    self.spawn(actor.name, actor.play, mortal=False)
            else:
                self.turn(actor)
            after_each()
        self._current = None

    def turn(self, actor: Actor) -> None:
        """Its next step."""
        self._current = actor
        actor.body.switch()
        if actor.body.dead:
            self.actors.remove(actor)

    def kill(self, actor: Actor) -> None:
        """It ends where it stands, and what it held open falls."""
        self.actors.remove(actor)
        self.say(f"{actor.name} is killed")
        actor.body.throw()
        assert actor.body.dead, f"{actor.name} survives kill -9"

    def close(self) -> None:
        """Nobody plays on."""
        for actor in list(self.actors):
            self.kill(actor)
        self._current = None
