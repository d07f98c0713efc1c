import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.ids import shard_of_event
from app.domain.model import Learned
from worker.events import (
    Poison,
    check_entry,
    decode_event,
    decode_log,
    encode_event,
    encode_log,
)
from worker.relay import ENTRIES_PER_RECORD, RECORD_MAX_BYTES, fitting, in_records

SHARDS = 16
ENTRY = {"seq": "3-17", "kind": "created", "booking_id": "b-1", "event_id": "E"}


@dataclass
class Row:
    id: int = 1
    event_id: str = "b-1:confirmed"
    type: str = "booking.confirmed"
    key: str = "b-1"
    data: dict[str, Any] = field(default_factory=dict)
    at_ms: int = 1_767_225_600_123


CONFIRMED: dict[str, Any] = {
    "booking": {"booking_id": "b-1", "event_id": "E", "status": "confirmed"},
    "zone": {"event_id": "E", "zone_id": "Z", "version": 7},
    "user": {"event_id": "E", "user_id": "ann", "version": 2},
}


def headers(kind: str, version: str = "1.0") -> list[tuple[str, bytes | None]]:
    return [("ce_specversion", version.encode()), ("ce_type", kind.encode())]


@given(st.lists(st.dictionaries(st.text(max_size=8), st.text() | st.integers(-(2**63), 2**63 - 1)), max_size=5))
def test_what_is_written_into_the_log_is_what_is_read_from_it(entries: list[dict[str, Any]]) -> None:
    message = encode_log("reservation.log", 5, entries)
    assert message.partition == 5
    assert message.key == b"5"
    assert decode_log(message.value) == (5, entries)


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (None, "no value"),
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"v":2,"shard":1,"entries":[]}', "version 2"),
        (b'{"v":true,"shard":1,"entries":[]}', "version True"),
        (b'{"shard":1,"entries":[]}', "version None"),
        (b'{"v":1,"shard":"1","entries":[]}', "shard"),
        (b'{"v":1,"shard":-1,"entries":[]}', "shard"),
        (b'{"v":1,"shard":1,"entries":{}}', "entries"),
    ],
)
def test_a_record_of_the_log_that_cannot_be_understood_is_poison_with_its_cause(
    value: bytes | None, cause: str
) -> None:
    with pytest.raises(Poison, match=cause):
        decode_log(value)


def test_an_entry_as_redis_writes_it_may_be_recorded() -> None:
    assert check_entry(ENTRY) is None


@pytest.mark.parametrize(
    ("entry", "cause"),
    [
        ("text", "not an object"),
        (ENTRY | {"kind": "teleported"}, "teleported"),
        (ENTRY | {"kind": None}, "None"),
        (ENTRY | {"kind": []}, "unknown"),
        (ENTRY | {"seq": "17"}, "seq"),
        (ENTRY | {"seq": 17}, "seq"),
        (ENTRY | {"booking_id": 7}, "booking_id"),
    ],
)
def test_an_entry_that_cannot_be_understood_tells_why(entry: object, cause: str) -> None:
    assert cause in (check_entry(entry) or "")


def test_a_public_event_is_a_cloud_event_in_binary_mode() -> None:
    message = encode_event("booking.events", Row(data=CONFIRMED))
    assert message.key == b"b-1"
    assert message.partition is None
    assert json.loads(message.value) == CONFIRMED
    assert dict(message.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"b-1:confirmed",
        "ce_source": b"/holdfast",
        "ce_type": b"booking.confirmed",
        "ce_subject": b"b-1",
        "ce_time": b"2026-01-01T00:00:00.123Z",
        "content-type": b"application/json",
    }


def test_a_confirmed_booking_settles_and_teaches_both_facts() -> None:
    message = encode_event("booking.events", Row(data=CONFIRMED))
    settling = decode_event(message.value, message.headers, SHARDS)
    assert settling is not None
    assert settling.shard == shard_of_event("E", SHARDS)
    assert settling.decided == {"b-1": "confirmed"}
    assert settling.learned.zones == (CONFIRMED["zone"],)
    assert settling.learned.users == (CONFIRMED["user"],)


@pytest.mark.parametrize("kind", ["booking.cancelled", "zone.opened"])
def test_a_cancelled_booking_and_an_opened_zone_only_teach(kind: str) -> None:
    settling = decode_event(json.dumps({"zone": CONFIRMED["zone"]}).encode(), headers(kind), SHARDS)
    assert settling is not None
    assert settling.decided == {}
    assert settling.learned.zones == (CONFIRMED["zone"],)
    assert settling.learned.users == ()


@pytest.mark.parametrize("status", ["released", "expired"])
def test_an_ending_settles_and_teaches_nothing(status: str) -> None:
    data = {"booking": {"booking_id": "b-1", "event_id": "E", "status": status}}
    settling = decode_event(json.dumps(data).encode(), headers(f"booking.{status}"), SHARDS)
    assert settling is not None
    assert (settling.shard, settling.decided) == (shard_of_event("E", SHARDS), {"b-1": status})
    assert settling.learned == Learned()


def test_a_rebuild_has_nothing_to_tell_redis() -> None:
    assert decode_event(b"{}", headers("shard.rebuilt"), SHARDS) is None


@pytest.mark.parametrize(
    ("value", "attributes", "cause"),
    [
        (b"{}", headers("booking.teleported"), "booking.teleported"),
        (b"{}", headers("booking.confirmed", "2.0"), "specversion '2.0'"),
        (b"{}", [], "specversion None"),
        (b"{}", [("ce_specversion", None)], "specversion None"),
        (b"not json", headers("booking.confirmed"), "not JSON"),
        (None, headers("zone.opened"), "no value"),
        (b"{}", headers("booking.confirmed"), "booking"),
        (b'{"booking":{"booking_id":7}}', headers("booking.confirmed"), "booking_id"),
        (b'{"booking":{"booking_id":"b"}}', headers("booking.confirmed"), "status"),
        (b'{"booking":{"booking_id":"b","status":"confirmed"}}', headers("booking.confirmed"), "zone"),
        (b'{"booking":{"booking_id":"b","status":"expired"}}', headers("booking.expired"), "event_id"),
        (b'{"zone":{"zone_id":"Z"}}', headers("zone.opened"), "event_id"),
        (b'{"zone":{"event_id":"E"},"user":[]}', headers("booking.cancelled"), "user"),
    ],
)
def test_a_public_event_that_cannot_be_understood_is_poison_with_its_cause(
    value: bytes | None, attributes: list[tuple[str, bytes | None]], cause: str
) -> None:
    with pytest.raises(Poison, match=cause):
        decode_event(value, attributes, SHARDS)


def test_a_batch_that_is_too_large_for_a_record_is_cut_from_behind() -> None:
    entries = [ENTRY | {"seq": f"1-{n}", "fingerprint": "x" * 8_000} for n in range(500)]
    shard, taken, message = fitting("reservation.log", 1, entries)
    assert shard == 1
    assert 0 < len(taken) < len(entries)
    assert taken == entries[: len(taken)]
    assert len(message.value) <= RECORD_MAX_BYTES
    assert decode_log(message.value) == (1, taken)


def test_what_is_too_much_for_one_record_goes_into_several_in_its_order() -> None:
    entries = [ENTRY | {"seq": f"1-{n}"} for n in range(2 * ENTRIES_PER_RECORD + 1)]
    parts = list(in_records("reservation.log", 1, entries))
    assert [len(taken) for _, taken, _ in parts] == [ENTRIES_PER_RECORD, ENTRIES_PER_RECORD, 1]
    assert [entry for _, _, message in parts for entry in decode_log(message.value)[1]] == entries
