"""The model as a world to play in: both stores in Python, a Redis that may forget."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.stores.outboxes import OutboxRow
from tests.model.judge import Live, Recorded, View
from tests.model.model_payments import ModelPayments, ModelRebuilding
from tests.model.model_postgres import ModelPostgres
from tests.model.model_redis import ModelRedis
from tests.model.stage import Stage
from tests.model.terms import SHARD, Clock, Mint


@dataclass
class Epochs:
    """What a process has last read from Postgres: sometimes stale."""

    stage: Stage
    current: Callable[[], int]

    def of(self, shard: int) -> int:
        return max(1, self.current() - (not self.stage.quiet and self.stage.rng.random() < self.stage.stale_rate))


@dataclass
class LedgerOutbox:
    postgres: ModelPostgres

    def read(self, limit: int) -> list[OutboxRow]:
        self.postgres.stage.pause()
        return self.postgres.outbox[:limit]

    def acknowledge(self, ids: Sequence[int]) -> None:
        with self.postgres.transaction(*(f"outbox {number}" for number in ids), shard=False):
            self.postgres.outbox = [row for row in self.postgres.outbox if row.id not in ids]


class ModelWorld:
    def __init__(self, stage: Stage, off: str | None) -> None:
        self.stage, self.off = stage, off
        self.clock = Clock()
        self.ledger = self.recorder = ModelPostgres(stage, self.clock, off)
        epochs = Epochs(stage, lambda: self.ledger.epoch)
        self.reservations = self.outbox = ModelRedis(stage, self.clock, epochs, Mint(), off)
        self.payments = ModelPayments(self.ledger)
        self.rebuilding = self.reservations, ModelRebuilding(self.ledger)
        self.ledger_outbox = LedgerOutbox(self.ledger)
        self._saved = b""

    def is_open(self) -> bool:
        return self.reservations.server.is_open(self.ledger.epoch)

    def save(self) -> None:
        """What an append-only file would bring back."""
        self._saved = self.reservations.server.image()

    def forget(self, older: bool, same_process: bool) -> None:
        self.reservations.forget(self._saved if older else None, same_process)

    def close(self) -> None: ...

    def view(self) -> View:
        pg, server = self.ledger, self.reservations.server
        view = View(
            server.is_open(pg.epoch),
            f"Redis is at epoch {server.installed[0]}, Postgres at {pg.epoch}",
            {name: (z["capacity"], z["confirmed"], z["version"]) for name, z in pg.zones.items()},
            {user: (confirmed, version) for user, (confirmed, version) in pg.users.items()},
            {
                r.booking_id: Recorded(r.status, r.user, r.zone, r.quantity, r.deadline, r.key, r.reserved_at, r.cause)
                for r in pg.rows.values()
            },
            {key: record[1:] for key, record in pg.keys.items()},
            payments=[(a.state, a.booking_id, a.replaces) for a in pg.attempts],
        )
        for (booking_id, *_), transition in pg.history.items():
            view.history.setdefault(booking_id, []).append(transition)
        space = server.spaces.get(pg.epoch)
        if space and view.is_open:
            for name, zone in space.zones.items():
                facts = zone.facts
                view.sold_by[name] = (
                    facts["capacity"], facts["confirmed"], facts["version"], space.held(name), zone.ceiling is not None,
                )  # fmt: skip
            view.counts = {
                user: (facts["confirmed"], space.taken(user) - facts["confirmed"])
                for user, facts in space.users.items()
            }
            view.live = {
                h.booking_id: Live(h.state, h.user, h.zone, h.quantity, h.deadline, h.key, h.reserved_at)
                for h in space.reservations.values()
            }
        return view


__all__ = ["SHARD", "ModelWorld"]
