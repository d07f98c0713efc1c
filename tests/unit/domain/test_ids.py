"""Booking ids carry their shard; what is no id of ours has none."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.ids import is_id, new_booking_id, shard_of_booking, shard_of_event


@given(st.integers(0, 4095))
def test_a_booking_id_is_a_uuid_version_8_that_carries_its_shard(shard: int) -> None:
    booking_id = new_booking_id(shard)
    parsed = uuid.UUID(booking_id)
    assert (parsed.version, parsed.variant) == (8, uuid.RFC_4122)
    assert shard_of_booking(booking_id, 4096) == shard


def test_booking_ids_are_ordered_by_time_and_never_repeat() -> None:
    ids = [new_booking_id(3) for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert [i[:13] for i in ids] == sorted(i[:13] for i in ids)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        str(uuid.uuid4()),
        new_booking_id(16),  # a shard that this installation does not have
        new_booking_id(1).upper(),
        new_booking_id(1) + "\n",
        f" {new_booking_id(1)}",
        new_booking_id(1).replace("-", ""),
        "٠" + new_booking_id(1)[1:],
    ],
    ids=("empty", "a word", "random", "no such shard", "capitals", "a line", "a blank", "no hyphens", "other digits"),
)
def test_what_is_no_booking_id_of_this_installation_has_no_shard(text: str) -> None:
    assert shard_of_booking(text, 16) is None


def test_events_spread_over_the_shards() -> None:
    shards = {shard_of_event(f"event-{n}", 16) for n in range(500)}
    assert shards == set(range(16))


@pytest.mark.parametrize("text", ["a", "A" * 64, "rock.am_ring:2026-1"])
def test_an_id_may_be(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize("text", ["", "A" * 65, "a/b", "a b", "-a", ".a", "a\n", "ä", "a\0", "a{b}"])
def test_an_id_may_not_be(text: str) -> None:
    assert not is_id(text)
