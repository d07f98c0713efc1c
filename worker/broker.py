"""Kafka: the only module that makes its clients, with every setting and its reason.

kafka-python 3 connects in the constructor, and one that fails leaves its I/O thread running: `_made` closes what a
failed constructor leaves behind, so that a broker that is away for days costs no thread and no socket.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from kafka.net.compat import KafkaNetClient

from worker.partitions import ByKey
from worker.topics import DEAD_MAX_BYTES, Topics

log = logging.getLogger(__name__)

T = TypeVar("T")

BOOTSTRAP_TIMEOUT_MS: Final = 3_000
REQUEST_TIMEOUT_MS: Final = 5_000
# A record that is not acknowledged by then is given up by the producer and read from its outbox again.
DELIVERY_TIMEOUT_MS: Final = 10_000
# A worker that was killed gives up its partitions after this: short enough for everything to be settled within 30 s,
# long enough for a pause of the process.
SESSION_TIMEOUT_MS: Final = 8_000
HEARTBEAT_INTERVAL_MS: Final = 2_000


def _made(client: Callable[..., T], *topics: str, **config: Any) -> T:
    opened: list[Any] = []

    def remember(**settings: Any) -> Any:
        opened.append(KafkaNetClient(**settings))
        return opened[-1]

    try:
        return client(*topics, **config, kafka_client=remember)
    except BaseException:
        for net_client in opened:
            net_client.close()
            net_client._net.stop(timeout_ms=1_000)
        raise


class Broker:
    """Makes producers and consumers; sees to it that the topics exist before anybody uses them."""

    def __init__(self, bootstrap_servers: str, shards: int, topics: Topics | None = None) -> None:
        self.topics = topics or Topics()
        self.shards = shards
        # The library reports every attempt to reconnect, several a second. What is wrong reaches us as an exception,
        # and `Outage` says it once a minute.
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        self._lock = threading.Lock()
        self._common: dict[str, Any] = {
            "bootstrap_servers": [server.strip() for server in bootstrap_servers.split(",") if server.strip()],
            "client_id": "holdfast-worker",
            "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            # The broker that is back is found within a second, not within the default of thirty.
            "reconnect_backoff_max_ms": 1_000,
            # A topic that was missing and is there again is found within ten.
            "metadata_max_age_ms": 10_000,
        }

    def ensure_topics(self) -> None:
        """Creates what is missing; idempotent, and safe when two workers do it at once. Raises `KafkaError`."""
        wanted = self.topics.wanted(self.shards)
        with self._lock:
            admin = _made(KafkaAdminClient, **self._common)
            try:
                found = {t["name"]: len(t["partitions"]) for t in admin.describe_topics(list(wanted))}
                missing = {name: spec for name, spec in wanted.items() if not found.get(name)}
                if missing:
                    self._create(admin, missing)
                    log.info("topics created: %s", ", ".join(sorted(missing)))
                log_partitions = found.get(self.topics.reservation_log) or self.shards
                if log_partitions < self.shards:
                    # Somebody's automatic creation was quicker. A partition is a shard by number, not by hash, so
                    # adding some moves nothing.
                    admin.create_partitions({self.topics.reservation_log: self.shards})
                    log.info("%s: now %d partitions", self.topics.reservation_log, self.shards)
            finally:
                admin.close()

    @staticmethod
    def _create(admin: Any, missing: dict[str, dict[str, Any]]) -> None:
        answer = admin.create_topics(missing, raise_errors=False)
        for topic in answer["topics"]:
            error = for_code(topic["error_code"])
            if topic["error_code"] and error is not TopicAlreadyExistsError:
                raise error(topic["error_message"])
        admin.wait_for_topics(list(missing), timeout_ms=REQUEST_TIMEOUT_MS)

    def producer(self) -> Any:
        """Idempotent, acknowledged by all replicas. Raises `KafkaError`."""
        return _made(
            KafkaProducer,
            **self._common,
            acks="all",
            enable_idempotence=True,
            delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
            max_block_ms=REQUEST_TIMEOUT_MS,
            max_request_size=DEAD_MAX_BYTES,
            # Public events are a record each: without company each would wake the sender, and be a batch and a request.
            linger_ms=5,
            # What a turn has for a partition, in one request: a request costs the broker as much as a thousand entries.
            batch_size=1024 * 1024,
            partitioner=ByKey(),
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )

    def consumer(self, group: str, max_records: int, topic: str | None = None) -> Any:
        """A member of `group` subscribed to `topic`; without one, a reader that is to be assigned its partitions and
        joins nothing. Offsets are committed by hand only. Raises `KafkaError`."""
        consumer = _made(
            KafkaConsumer,
            **self._common,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
            max_poll_records=max_records,
            # Bounds what one poll can bring into memory.
            fetch_max_bytes=8 * 1024 * 1024,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
        if topic:
            # The partitions first: a group that is joined before they are known is assigned none, and moves again.
            consumer.partitions_for_topic(topic)
            consumer.subscribe([topic])
        return consumer


__all__ = ["Broker", "KafkaError"]
