"""What Kafka holds in the end, read from the beginning."""

import json
from itertools import pairwise
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from worker.topics import Topics

_SILENCE_MS = 10_000


def everything(bootstrap_servers: str, topic: str) -> list[Any]:
    """All records of the topic, each partition's in order."""
    consumer: Any = KafkaConsumer(
        bootstrap_servers=bootstrap_servers, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        found: list[Any] = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            polled = consumer.poll(_SILENCE_MS)
            assert polled, f"Kafka keeps back what {topic} holds"
            for records in polled.values():
                found += records
        return found
    finally:
        consumer.close()


def first_told(bootstrap_servers: str) -> dict[int, list[dict[str, Any]]]:
    """By shard the entries of reservation.log, each where it was told first."""
    shards: dict[int, dict[str, dict[str, Any]]] = {}
    for record in everything(bootstrap_servers, Topics().reservation_log):
        told = shards.setdefault(record.partition, {})
        for entry in json.loads(record.value)["entries"]:
            told.setdefault(entry["seq"], entry)
    return {shard: list(told.values()) for shard, told in shards.items()}


def told_at(bootstrap_servers: str) -> dict[tuple[str, str, int], float]:
    """When the log was first told of each transition of Redis: (kind, booking, deadline in ms, 0 for an end)."""
    found: dict[tuple[str, str, int], float] = {}
    for record in everything(bootstrap_servers, Topics().reservation_log):
        for entry in json.loads(record.value)["entries"]:
            deadline = int(entry["deadline_ms"]) if entry["kind"] in ("created", "extended") else 0
            found.setdefault((entry["kind"], entry["booking_id"], deadline), record.timestamp / 1000)
    return found


def are_in_order(shards: dict[int, list[dict[str, Any]]]) -> None:
    for shard, entries in shards.items():
        seqs = [tuple(map(int, entry["seq"].split("-"))) for entry in entries]
        late = next((now for before, now in pairwise(seqs) if now < before), None)
        assert late is None, f"shard {shard}: {late} was told late"
