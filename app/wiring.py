"""Joins services and stores. The only place where the two meet."""

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from app.background import Every
from app.domain.errors import Refusal
from app.domain.limits import Rate
from app.domain.model import LedgerBacklog, ShardBacklog
from app.domain.ports import Duty, Log
from app.services.audit import Audit
from app.services.availability import Availability
from app.services.cancel import Cancel
from app.services.confirm import Confirm, Decide
from app.services.expire import Expire
from app.services.extend import Extend
from app.services.get import Get
from app.services.history import History
from app.services.inventory import Inventory
from app.services.list_bookings import ListBookings
from app.services.look import Look
from app.services.open_zone import OpenZone
from app.services.pay import Pay
from app.services.photograph import Photograph
from app.services.rebuild import OnProgress, Rebuild
from app.services.receive import Receive
from app.services.reconcile import Reconcile, Repairs
from app.services.release import Release
from app.services.reopen import Reopen
from app.services.reserve import Reserve
from app.services.summary import Summary
from app.services.tail import Tail
from app.services.together import Together
from app.settings import Settings
from app.stores.breaker import Breaker
from app.stores.dead_letters import PostgresDeadLetters
from app.stores.epochs import Epochs
from app.stores.history import PostgresHistory
from app.stores.ledger import PostgresLedger
from app.stores.limits import RedisLimits
from app.stores.lua import Redis
from app.stores.outboxes import LedgerOutbox, RedisOutbox
from app.stores.payments import provider_of, verifiers_of
from app.stores.payments.attempts import PostgresPayments
from app.stores.postgres import Postgres
from app.stores.rebuilding import PostgresDuty, PostgresRebuilding, RedisRebuilding
from app.stores.recorder import PostgresRecorder
from app.stores.reservations import RedisReservations

log = logging.getLogger(__name__)
EPOCHS_PERIOD_S = 1.0
"""A process that has not met a closed shard knows its new epoch so long after it was opened."""
_STORES_TIME_MS = 2_000
"""What both stores may take together, beside the provider, for one step of a payment."""
TimeLimit = Callable[[float], AbstractContextManager[Any]]


@dataclass
class Wiring:
    """One process' services on one pair of stores. Opens no connection before `start` or the first call."""

    settings: Settings
    time_limit: TimeLimit = lambda seconds: nullcontext()
    now: Callable[[], int] | None = None
    statement_timeout_s: float | None = None
    """Where nobody waits for an answer, a batch may take longer than `POSTGRES_TIMEOUT_MS`."""
    greenlets: bool = False
    """Whether all that call are greenlets of one thread: then they share a connection to Redis."""
    reopens: bool = False
    """Whether this process rebuilds the closed shards that it meets. The worker has a loop of its own for that."""

    on_breaker: Callable[[str, bool], None] = lambda server, is_open: None
    """Told when a server has fallen silent for this process (True), and when it answers again."""
    on_rebuild: OnProgress = lambda shard, step, count: None
    on_script_failed: Callable[[str], None] = lambda script: None

    def __post_init__(self) -> None:
        settings = self.settings
        self.shards = range(settings.shards)
        self.redis = Redis(
            settings.redis_url,
            settings.redis_pool_size,
            settings.redis_timeout_ms / 1000,
            self._breaker("Redis"),
            self.time_limit,
            settings.redis_calls_max if self.greenlets else 0,
        )
        self.postgres = Postgres(
            settings.database_url,
            settings.postgres_pool_size,
            timeout_s=self.statement_timeout_s or settings.postgres_timeout_ms / 1000,
            wait_s=settings.postgres_timeout_ms / 1000,
            breaker=self._breaker("Postgres"),
            time_limit=self.time_limit,
        )
        self.ledger = PostgresLedger(self.postgres, settings.shards)
        self.epochs = Epochs(self.ledger.epochs)
        self.recorder = PostgresRecorder(self.postgres)
        _, ledger = self._rebuilding
        self.reopen = Reopen(self.rebuild(), self.closed_shards, ledger.worker_lives)
        self._refresh = Every(EPOCHS_PERIOD_S, self.epochs.refresh, "epochs")
        self._background = [self._refresh, *([Every(EPOCHS_PERIOD_S, self.reopen, "reopen")] if self.reopens else [])]
        self.reservations = RedisReservations(
            self.redis,
            self.epochs,
            settings.shards,
            settings.outbox_max,
            now=self.now,
            on_closed=self._met_closed,
            on_script_failed=self.on_script_failed,
        )
        self.reserve = Reserve(self.reservations, self.ledger, settings.shards)
        provider = provider_of(settings, self.time_limit)
        self.payments = PostgresPayments(self.postgres)
        self.pay = (
            Pay(
                provider,
                self.payments,
                self.reservations,
                settings.shards,
                bound_ms=settings.payment_bound_seconds * 1000,
                lease_ms=2 * settings.payment_timeout_ms + _STORES_TIME_MS,
            )
            if provider
            else None
        )
        decide = Together(
            Decide(self.reservations, self.ledger, settings.shards),
            key=lambda pin: pin.booking.booking_id,
            most=settings.confirm_batch,
            lanes=settings.confirm_lanes,
            linger_s=settings.confirm_linger_ms / 1000,
            queue_most=settings.confirm_queue_max,
            timeout_s=self.postgres.timeout_s,
        )
        self.confirm = Confirm(
            self.reservations,
            self.ledger,
            settings.shards,
            decide,
            self.pay,
            settings.payment_timeout_ms + _STORES_TIME_MS,
        )
        self.release = Release(self.reservations, self.ledger)
        self.cancel = Cancel(self.reservations, self.ledger, settings.shards)
        self.extend = Extend(self.reservations, self.ledger)
        self.get = Get(self.reservations, self.ledger)
        self.history = History(self.reservations, self.ledger, self.payments)
        self.receive = Receive(self.payments, verifiers_of(settings))
        self.list_bookings = ListBookings(self.reservations, self.ledger)
        self.summary = Summary(self.reservations, self.ledger)
        self.inventory = Inventory(self.reservations, self.ledger)
        self.look = Look(self.reservations, self.ledger)
        self.open_zone = OpenZone(self.reservations, self.ledger, settings.shards)
        self.availability = Availability(self.reservations, self.ledger)
        self.expire = Expire(self.reservations, self.ledger, settings.sweep_batch, settings.pin_limit_seconds * 1000)
        self.outbox = RedisOutbox(self.redis)
        self.audit = Audit(self.reservations, self.ledger, self.outbox, self.close_shard)
        self.photograph = Photograph(self.reservations, self.ledger)
        self.limits = (
            RedisLimits(self.redis, Rate(settings.rate_limit_per_minute, settings.rate_limit_burst))
            if settings.rate_limit_per_minute
            else None
        )
        self.dead_letters = PostgresDeadLetters(self.postgres)
        self.ledger_outbox = LedgerOutbox(self.postgres)
        repairs = Repairs(self.recorder, self.expire.settle, self.audit.settle_stale, self.close_shard, self._rebuilt)
        self.reconcile = Reconcile(self.reservations, self.ledger, self.outbox, settings.shards, repairs)

    def _breaker(self, server: str) -> Breaker:
        settings = self.settings
        changed = partial(self.on_breaker, server.lower())
        return Breaker(server, settings.breaker_failures, settings.breaker_probe_ms / 1000, changed)

    @cached_property
    def _rebuilding(self) -> tuple[RedisRebuilding, PostgresRebuilding]:
        return RedisRebuilding(self.redis), PostgresRebuilding(self.postgres)

    def rebuild(self, event_log: Log | None = None) -> Rebuild:
        """The rebuild, with the log where Kafka is spoken."""
        reservations, ledger = self._rebuilding
        return Rebuild(reservations, ledger, self.ledger.epochs, self.recorder, event_log, self.on_rebuild)

    def duty(self) -> Duty:
        """For a process that rebuilds with the log."""
        return PostgresDuty(self.postgres)

    def tail(self, since_ms: int | None) -> Tail:
        """The history from a time on; from now on for None. Raises `SERVICE_UNAVAILABLE`."""
        log = PostgresHistory(self.postgres)
        return Tail(log, log.seek(since_ms))

    def _rebuilt(self, shard: int) -> bool:
        is_open = self.rebuild()(shard)
        self.epochs.refresh()
        return is_open

    def shard_backlog(self, shard: int) -> ShardBacklog:
        """Raises `SERVICE_UNAVAILABLE`."""
        return self.reservations.backlog(shard)

    def ledger_backlog(self) -> LedgerBacklog:
        """Raises `SERVICE_UNAVAILABLE`."""
        return self.ledger.backlog()

    def drifting_zones(self, limit: int) -> Sequence[tuple[str, str, int]]:
        """(event, zone, seats), the farthest apart first. Raises `SERVICE_UNAVAILABLE`."""
        return self.ledger.drifting_zones(limit)

    def close_shard(self, shard: int) -> None:
        """Stops it: whoever comes by rebuilds it. Raises `SERVICE_UNAVAILABLE`."""
        reservations, _ = self._rebuilding
        reservations.freeze(shard, "closed")

    def closed_shards(self) -> list[int]:
        """Shards that do not sell now. Raises `SERVICE_UNAVAILABLE`."""
        reservations, _ = self._rebuilding
        return reservations.closed(self.ledger.epochs())

    def sweep_old_spaces(self) -> int:
        """Removes what rebuilds have left behind; answers how many keys. Raises `SERVICE_UNAVAILABLE`."""
        reservations, _ = self._rebuilding
        return reservations.sweep_old_spaces(self.ledger.epochs())

    def health(self) -> dict[str, str]:
        """What is wrong with redis, postgres and shards; "ok" where nothing is."""
        health = {"redis": _health(self.redis.run_id), "postgres": _health(self.epochs.refresh)}
        if set(health.values()) != {"ok"}:
            return health | {"shards": "not known"}
        closed = self.closed_shards()
        for shard in closed:
            self._met_closed(shard)  # a process that is not ready gets no requests that could meet it
        return health | {"shards": f"closed: {', '.join(map(str, closed))}" if closed else "ok"}

    def _met_closed(self, shard: int) -> None:
        """Somebody may have rebuilt it a moment ago: then its new epoch is all that we miss."""
        self._refresh.soon()
        self.reopen.met(shard)

    def start(self) -> None:
        """Opens the pools, learns the epochs if Postgres is there, and keeps them fresh. Call it after fork and before
        the first request: a process that does not know the epochs refuses."""
        self.postgres.open()
        try:
            self.epochs.refresh()
        except Refusal as refused:
            log.warning("started without the shards' epochs: %s", refused.detail)
        for every in self._background:
            every.start()

    def close(self) -> None:
        """Closes every connection."""
        for every in self._background:
            every.stop()
        self.postgres.close()
        self.redis.close()


def _health(check: Callable[[], object]) -> str:
    try:
        check()
    except Refusal as refused:
        return refused.detail
    return "ok"


OnBreaker = Callable[[str, bool], None]
Watch = tuple[OnBreaker, OnProgress, Callable[[str], None]]
"""Of a breaker, a rebuild, a script that has failed."""
_UNWATCHED: Watch = (lambda server, is_open: None, lambda shard, step, count: None, lambda script: None)


def build(settings: Settings, watch: Watch = _UNWATCHED) -> Wiring:
    """For the web process and the CLI. Where gevent runs, a server that does not answer is given up in time."""
    return Wiring(
        settings,
        time_limit(),
        greenlets=_threads_are_greenlets(),
        reopens=True,
        on_breaker=watch[0],
        on_rebuild=watch[1],
        on_script_failed=watch[2],
    )


def build_worker(settings: Settings, watch: Watch = _UNWATCHED) -> Wiring:
    """For the worker, which has nobody waiting: its batches may take longer than a request."""
    timeout_s = max(settings.postgres_timeout_ms / 1000, _WORKER_TIMEOUT_S)
    return Wiring(
        settings,
        statement_timeout_s=timeout_s,
        on_breaker=watch[0],
        on_rebuild=watch[1],
        on_script_failed=watch[2],
    )


_WORKER_TIMEOUT_S = 30


def _threads_are_greenlets() -> bool:
    if "gevent" not in sys.modules:
        return False
    from gevent.monkey import is_module_patched

    return bool(is_module_patched("threading"))


def time_limit() -> TimeLimit:
    """Raises `TimeoutError` within the block once so many seconds have passed, where gevent runs; else never."""
    if "gevent" not in sys.modules:
        return lambda seconds: nullcontext()
    from gevent import Timeout

    return lambda seconds: Timeout(seconds, TimeoutError)
