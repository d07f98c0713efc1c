"""A key's partition is the one that every client of Kafka finds."""

import random
from types import SimpleNamespace

import pytest
from kafka.partitioner import DefaultPartitioner
from kafka.partitioner.default import murmur2 as by_the_library

from worker.partitions import ByKey, murmur2


def _cluster(count: int) -> SimpleNamespace:
    partitions = set(range(count))
    return SimpleNamespace(
        topics=lambda: {"t"},
        partitions_for_topic=lambda topic: partitions if topic == "t" else None,
        available_partitions_for_topic=lambda topic: partitions,
    )


def test_a_key_has_the_hash_that_the_library_gives_it() -> None:
    chance = random.Random(7)
    keys = [chance.randbytes(length) for length in range(70) for _ in range(20)]
    assert [murmur2(key) for key in keys] == [by_the_library(key) for key in keys]
    assert len({murmur2(key) for key in keys[1:]}) > 1000


@pytest.mark.parametrize("count", [1, 3, 16])
def test_and_the_partition(count: int) -> None:
    keys = [f"booking-{number}".encode() for number in range(200)]
    ours, theirs = (
        [by.partition("t", key, key, b"", b"", _cluster(count)) for key in keys]
        for by in (ByKey(), DefaultPartitioner())
    )
    assert ours == theirs
    assert len(set(ours)) == count


def test_a_topic_that_is_unknown_is_said_to_be() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        ByKey().partition("nowhere", b"k", b"k", b"", b"", _cluster(1))
