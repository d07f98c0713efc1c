"""The worker's loops, put together around one wiring."""

import logging
import threading
from collections.abc import Collection
from functools import partial
from typing import Final

from app.wiring import Wiring
from worker.auditor import Auditor
from worker.broker import Broker
from worker.consumer import Consumer, Handler
from worker.handlers import ReceivePayments, RecordReservations, SettleBookings
from worker.log import KafkaLog
from worker.loop import Threads
from worker.metrics import Figures
from worker.outage import Outage
from worker.photographer import Photographer
from worker.publisher import Publisher
from worker.rebuilder import Rebuilder
from worker.relay import LogRelay, RowRelay
from worker.saga import Saga
from worker.sweeper import Sweeper
from worker.topics import Topics

log = logging.getLogger(__name__)

LOOPS: Final = ("relay", "consumer", "sweeper", "rebuilder", "saga")
NEED_KAFKA: Final = frozenset({"relay", "consumer"})
# Leaves a second for closing the pools before the process is ended anyway.
GRACE_SECONDS: Final = 3.5
SIGN_OF_LIFE_SECONDS: Final = 60.0


class Worker:
    """The chosen loops, each in a thread of its own, from now until `stop`."""

    def __init__(
        self, wiring: Wiring, loops: Collection[str], stop: threading.Event, topics: Topics | None = None
    ) -> None:
        self._wiring = wiring
        self._stop = stop
        self._kafka = Outage("Kafka")
        self._threads = Threads(stop, self._kafka)
        self._consumers_by_name: dict[str, Consumer] = {}
        self._figures: dict[str, tuple[object, str]] = {}
        servers = wiring.settings.kafka_bootstrap_servers
        broker = Broker(servers, wiring.settings.shards, topics) if servers else None
        if broker is None and not NEED_KAFKA.isdisjoint(loops):
            log.warning("KAFKA_BOOTSTRAP_SERVERS is empty: no relay and no consumers run, events wait in the outboxes.")
        if broker and "relay" in loops:
            self._relay(broker)
        if broker and "consumer" in loops:
            self._consumers(broker)
        if "sweeper" in loops:
            sweeper = Sweeper(wiring.expire, wiring.shards, wiring.settings.sweep_interval_ms)
            self._figures["expired"] = (sweeper, "expired")
            self._threads.start("sweeper", sweeper.run)
            checks = (wiring.audit.settle_stale, wiring.audit)
            self._threads.start("auditor", Auditor(checks, wiring.shards, wiring.settings.audit_seconds).run)
            period_s = wiring.settings.photograph_seconds
            self._threads.start("photographer", Photographer(wiring.photograph, period_s).run)
        if "saga" in loops and wiring.pay:
            saga = Saga(wiring.pay)
            self._figures["payment_steps"] = (saga, "steps")
            self._threads.start("saga", saga.run)
        if "rebuilder" in loops:
            event_log = KafkaLog(broker) if broker else None
            rebuild = wiring.rebuild(event_log)
            duty = wiring.duty() if event_log else None
            rebuilder = Rebuilder(wiring.closed_shards, rebuild, wiring.sweep_old_spaces, event_log, duty)
            self._figures |= {"rebuilt": (rebuilder, "rebuilt"), "keys_swept": (rebuilder, "swept")}
            self._threads.start("rebuilder", rebuilder.run)

    def _relay(self, broker: Broker) -> None:
        wiring, topics = self._wiring, broker.topics
        streams = LogRelay(wiring.outbox, wiring.shards, Publisher(broker, self._stop), topics, self._kafka)
        rows = RowRelay(wiring.ledger_outbox, Publisher(broker, self._stop), topics, self._kafka)
        self._figures |= {"entries_relayed": (streams, "carried"), "events_relayed": (rows, "carried")}
        self._threads.start("relay-log", streams.run)
        self._threads.start("relay-events", rows.run)

    def _consumers(self, broker: Broker) -> None:
        wiring, topics = self._wiring, broker.topics
        record = RecordReservations(wiring.recorder)
        settle = SettleBookings(wiring.reservations, wiring.settings.shards)
        roles: list[tuple[str, str, str, Handler]] = [
            ("recorder", topics.reservation_log, topics.recorder, record),
            ("settler", topics.booking_events, topics.settler, settle),
        ]
        if wiring.pay:
            roles.append(("cashier", topics.payment_events, topics.cashier, ReceivePayments(wiring.receive.note)))
        for name, topic, group, handler in roles:
            together = name == "recorder"  # all that it writes to is Postgres
            consumer = Consumer(
                name, broker, topic, group, handler, wiring.dead_letters, self._kafka, self._stop, together
            )
            self._consumers_by_name[name] = consumer
            self._figures |= {f"{name}_records": (consumer, "done"), f"{name}_poison": (consumer, "poisoned")}
            self._threads.start(name, consumer.run)

    def figures(self) -> Figures:
        """For Prometheus."""
        counts = {name: partial(getattr, *where) for name, where in self._figures.items()}
        lags = {name: partial(getattr, consumer, "lag") for name, consumer in self._consumers_by_name.items()}
        return Figures(self._wiring, self._wiring.shards, counts, lags)

    def wait(self) -> None:
        """Until the stop, with a sign of life a minute."""
        while not self._stop.wait(SIGN_OF_LIFE_SECONDS):
            log.info("alive: %s", ", ".join(f"{name} {getattr(*where)}" for name, where in self._figures.items()))

    def end(self) -> None:
        """Lets the loops finish what they have in hand, those that wait for a server excepted."""
        if left := self._threads.join(GRACE_SECONDS):
            log.warning("still waiting, left to the next worker: %s", ", ".join(left))
