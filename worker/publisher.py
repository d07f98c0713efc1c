"""Sends records and says which of them Kafka has: the one place that knows how a producer fails."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from worker.broker import DELIVERY_TIMEOUT_MS, Broker, KafkaError
from worker.events import Message

log = logging.getLogger(__name__)

# The producer gives up by itself after its delivery timeout; this is for one whose I/O thread has died.
PATIENCE_SECONDS: Final = DELIVERY_TIMEOUT_MS / 1000 + 5
# What is under way when the worker is told to stop gets this long; without an answer the next worker sends it again.
GRACE_SECONDS: Final = 2.0


class Publisher:
    """One producer, made when first needed and thrown away after any failure: an idempotent producer that has lost a
    record cannot promise order any more. For one thread."""

    def __init__(self, broker: Broker, stop: threading.Event) -> None:
        self._broker = broker
        self._stop = stop
        self._producer: Any = None

    def publish(self, messages: Sequence[Message]) -> list[KafkaError | None]:
        """For each message None once all replicas have it, else the error: it may or may not arrive.

        Raises `KafkaError` when there is no producer to be had."""
        if self._producer is None:
            self._broker.ensure_topics()
            self._producer = self._broker.producer()
        deadline = time.monotonic() + PATIENCE_SECONDS
        results: list[KafkaError | None] = []
        for future in self._sent(messages):
            if isinstance(future, KafkaError):
                results.append(future)
                continue
            error, deadline = self._outcome(future, deadline)
            results.append(error)
        if any(results):
            self.close()
        return results

    def _sent(self, messages: Sequence[Message]) -> list[Any]:
        """For each message a future, or the error. After the first error nothing more is sent: order would suffer, and
        each would wait again for the same metadata."""
        sent: list[Any] = []
        for message in messages:
            try:
                future = self._producer.send(
                    message.topic,
                    value=message.value,
                    key=message.key,
                    headers=list(message.headers),
                    partition=message.partition,
                )
            except (KafkaError, ValueError) as error:
                # ValueError: the metadata do not know the topic or the partition (yet, or any more).
                lost = error if isinstance(error, KafkaError) else KafkaError(str(error))
                return sent + [lost] * (len(messages) - len(sent))
            sent.append(future)
        return sent

    def _outcome(self, future: Any, deadline: float) -> tuple[KafkaError | None, float]:
        """Waits in short turns, so that a stop is noticed; the deadline is nearer afterwards if there was one."""
        while True:
            try:
                future.get(timeout=0.05)
                return None, deadline
            except KafkaError as error:
                if future.is_done:
                    return error, deadline
                if self._stop.is_set():
                    deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
                if time.monotonic() >= deadline:
                    return error, deadline

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            producer.close(timeout=1)
        except KafkaError:
            # `close` flushes first and leaves its thread running if that takes too long.
            producer._sender.force_close()
