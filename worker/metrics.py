"""The worker's figures for Prometheus, on a port of their own. What the stores hold is asked for at each scrape."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from prometheus_client import REGISTRY, Counter, Gauge, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.domain.errors import Refusal
from app.domain.model import LedgerBacklog, ShardBacklog

log = logging.getLogger(__name__)

# Zones with drift, the farthest apart first: labels must not grow without bound.
ZONES_TOLD: Final = 50

_breaker_open = Gauge("holdfast_breaker_open", "Whether this server is silent for this process", ["server"])
_breaker_changes = Counter("holdfast_breaker_changes_total", "Breakers opened and closed", ["server", "to"])

_rebuild_rows = Gauge(
    "holdfast_rebuild_rows",
    "Of a shard's rebuild, under way or the last: entries recorded, rows of the image, rows installed",
    ["shard", "step"],
)
_scripts_failed = Counter("holdfast_scripts_failed_total", "Scripts that stopped in the middle of it", ["script"])


def observe_breaker(server: str, is_open: bool) -> None:
    _breaker_open.labels(server).set(is_open)
    _breaker_changes.labels(server, "open" if is_open else "closed").inc()


def observe_rebuild(shard: int, step: str, count: int) -> None:
    _rebuild_rows.labels(str(shard), step).set(count)


def observe_script_failed(script: str) -> None:
    _scripts_failed.labels(script).inc()


class Stores(Protocol):
    """What is asked for at a scrape. Each raises `SERVICE_UNAVAILABLE`."""

    def shard_backlog(self, shard: int) -> ShardBacklog: ...
    def ledger_backlog(self) -> LedgerBacklog: ...
    def drifting_zones(self, limit: int) -> Iterable[tuple[str, str, int]]: ...


class Figures(Collector):
    """`counts`: by name, figures of the loops, which only grow; `lags`: by consumer, records not yet read."""

    def __init__(
        self,
        stores: Stores,
        shards: Iterable[int],
        counts: Mapping[str, Callable[[], int]],
        lags: Mapping[str, Callable[[], int]],
    ) -> None:
        self._stores = stores
        self._shards = list(shards)
        self._counts = counts
        self._lags = lags

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked for when it is registered."""
        return []

    def collect(self) -> Iterable[Metric]:
        done = CounterMetricFamily("holdfast_worker_done", "What the loops of this process have done", labels=["what"])
        for name, count in self._counts.items():
            done.add_metric([name], count())
        yield done
        lag = GaugeMetricFamily(
            "holdfast_consumer_lag_records", "Records of its partitions still to come", labels=["consumer"]
        )
        for name, records in self._lags.items():
            lag.add_metric([name], records())
        yield lag
        yield from self._asked("redis", self._of_redis)
        yield from self._asked("postgres", self._of_postgres)

    def _asked(self, store: str, ask: Callable[[], list[Metric]]) -> Iterable[Metric]:
        """A store that cannot be asked is told as such: its figures are missing, and never those of a while ago."""
        answered = GaugeMetricFamily("holdfast_store_answered", "Whether it could be asked now", labels=["store"])
        try:
            figures = ask()
        except Refusal as refused:
            log.debug("no figures of %s: %s", store, refused.detail)
            figures = []
        answered.add_metric([store], bool(figures))
        return [answered, *figures]

    def _of_redis(self) -> list[Metric]:
        waiting = _gauge("holdfast_outbox_entries", "Entries of a shard's outbox that Kafka does not have yet", "shard")
        oldest = _gauge("holdfast_outbox_oldest_seconds", "Age of the oldest of them", "shard")
        overdue = _gauge(
            "holdfast_expiry_lag_seconds", "How long ago a reservation was due that is still held", "shard"
        )
        pins = _gauge("holdfast_pins", "Confirmations under way", "shard")
        closed = _gauge("holdfast_shard_closed", "Whether the shard does not sell", "shard")
        for shard in self._shards:
            name = [str(shard)]
            try:
                backlog = self._stores.shard_backlog(shard)
            except Refusal:
                closed.add_metric(name, 1)
                continue
            closed.add_metric(name, 0)
            waiting.add_metric(name, backlog.waiting)
            oldest.add_metric(name, backlog.oldest_ms / 1000)
            overdue.add_metric(name, backlog.overdue_ms / 1000)
            pins.add_metric(name, backlog.pins)
        return [waiting, oldest, overdue, pins, closed]

    def _of_postgres(self) -> list[Metric]:
        backlog = self._stores.ledger_backlog()
        drift = GaugeMetricFamily(
            "holdfast_drift_seats",
            f"How far the stores were apart at the last photograph; the {ZONES_TOLD} farthest",
            labels=["event_id", "zone_id"],
        )
        for event_id, zone_id, seats in self._stores.drifting_zones(ZONES_TOLD):
            drift.add_metric([event_id, zone_id], seats)
        return [
            GaugeMetricFamily("holdfast_events_waiting", "Public events that Kafka does not have yet", backlog.waiting),
            GaugeMetricFamily("holdfast_events_oldest_seconds", "Age of the oldest of them", backlog.oldest_seconds),
            GaugeMetricFamily("holdfast_dead_letters", "Dead letters that nobody has resolved", backlog.dead_letters),
            drift,
        ]


def serve(address: str, figures: Figures) -> Callable[[], Any]:
    """Answers scrapes at "host:port" from now on, in a thread of its own; the answer ends that. Raises `OSError`."""
    host, _, port = address.rpartition(":")
    REGISTRY.register(figures)
    server, _ = start_http_server(int(port), addr=host.strip("[]"))
    log.info("metrics at http://%s/metrics", address)

    def close() -> None:
        REGISTRY.unregister(figures)
        server.shutdown()

    return close


def _gauge(name: str, what: str, label: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, what, labels=[label])
