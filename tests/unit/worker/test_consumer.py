"""What becomes of the offsets when a handler is given the records of several partitions at once."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka import TopicPartition

from worker.consumer import Consumer, _Life
from worker.handlers import Later, Outcome
from worker.outage import Outage


@dataclass
class Record:
    partition: int
    offset: int
    topic: str = "t"
    key: bytes = b""
    value: bytes = b""
    headers: Sequence[Any] = ()


@dataclass
class Client:
    """Kafka's client, as far as a batch needs it: what it was told."""

    sought: dict[int, int] = field(default_factory=dict)
    paused: list[int] = field(default_factory=list)

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition("t", 1), TopicPartition("t", 2)}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought[partition.partition] = offset

    def pause(self, partition: TopicPartition) -> None:
        self.paused.append(partition.partition)


RECORDS = [Record(1, 7), Record(1, 8), Record(2, 3), Record(2, 4), Record(2, 5)]


def _worked(*answers: int | Exception) -> tuple[Client, _Life, list[int]]:
    """After all of `RECORDS` in one batch; `answers`: how many the handler has done, call by call."""
    given: list[int] = []
    left = list(answers)

    def handler(records: Sequence[Any]) -> Outcome:
        given.append(len(records))
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Outcome(answer)

    class Broker:
        topics = None

    stop, outage = threading.Event(), Outage("Kafka")
    broker: Any = Broker()
    dead_letters: Any = None
    owner = Consumer("recorder", broker, "t", "g", handler, dead_letters, outage, stop, together=True)
    client = Client()
    life = _Life(owner, client, stop)
    life._late_at = float("inf")
    life._work(RECORDS)
    return client, life, given


def _offsets(life: _Life) -> dict[int, int]:
    return {partition.partition: offset for partition, offset in life._uncommitted.items()}


def test_the_whole_batch_goes_to_the_handler_and_each_partition_has_its_offset() -> None:
    _, life, given = _worked(5)
    assert given == [5]
    assert _offsets(life) == {1: 9, 2: 6}


def test_what_the_handler_leaves_comes_at_once_again() -> None:
    _, life, given = _worked(3, 2)
    assert given == [5, 2]
    assert _offsets(life) == {1: 9, 2: 6}


def test_when_the_store_is_away_each_partition_waits_where_its_own_records_begin() -> None:
    client, life, given = _worked(1, Later("away"))
    assert given == [5, 4]
    assert _offsets(life) == {1: 8}
    assert client.sought == {1: 8, 2: 3}
    assert sorted(client.paused) == [1, 2]
