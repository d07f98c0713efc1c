"""What travels through Kafka, to and from bytes: the log's records, and CloudEvents 1.0 (Kafka protocol binding, binary
mode).

Pure: no I/O. What cannot be understood raises `Poison` with its cause, in words for whoever looks at the dead letter.
"""

import re
from base64 import b64decode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from uuid import UUID

import orjson

from app.as_json import object_to_keep
from app.domain.ids import shard_of_event
from app.domain.model import Facts, Learned, Status
from app.domain.payments import Notice
from app.domain.ports import ENTRY_KINDS, Entry

LOG_VERSION: Final = 1
REPLAYED: Final = "dead_letter.replayed"
PAYMENT_EVENTS: Final = ("payment.succeeded", "payment.failed")
SOURCE: Final = "/holdfast"
_OF_ALL_EVENTS: Final = (
    ("ce_specversion", b"1.0"),
    ("ce_source", SOURCE.encode()),
    ("content-type", b"application/json"),
)
_PAYMENT_EVENT_ID_BYTES: Final = 1000
_SEQ: Final = re.compile(r"[0-9]+-[0-9]+", re.ASCII)


Headers = Sequence[tuple[str, bytes | None]]


class Poison(Exception):
    """The message can never be processed; its text is the cause."""


@dataclass(frozen=True, slots=True)
class Message:
    """A record to be sent."""

    topic: str
    key: bytes
    value: bytes
    partition: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class OutboxRow(Protocol):
    """A row of Postgres' outbox: a public event that is to be told."""

    @property
    def id(self) -> int: ...
    @property
    def event_id(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def data(self) -> Mapping[str, Any]: ...
    @property
    def at_ms(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Settling:
    """What one public event has to tell Redis: a booking that Postgres has decided, if any, and facts."""

    shard: int
    decided: Mapping[str, Status]
    learned: Learned


def _json(value: object) -> bytes:
    return orjson.dumps(value)


def encode_log(topic: str, shard: int, entries: Sequence[Entry]) -> Message:
    """Consecutive entries of one shard as one record: a record costs a Python client far more than an entry."""
    value = _json({"v": LOG_VERSION, "shard": shard, "entries": entries})
    return Message(topic, str(shard).encode(), value, partition=shard)


def decode_log(value: bytes | None) -> tuple[int, list[Any]]:
    """The shard and the entries of a record, each of which `check_entry` has still to look at. Raises `Poison`."""
    record = _object(value)
    version = record.get("v")
    if version != LOG_VERSION or isinstance(version, bool):
        raise Poison(f"version {version!r} of the log is unknown")
    shard, entries = record.get("shard"), record.get("entries")
    if not isinstance(shard, int) or isinstance(shard, bool) or shard < 0:
        raise Poison("`shard` is not a whole number")
    if not isinstance(entries, list):
        raise Poison("`entries` is not a list")
    return shard, entries


def check_entry(entry: Any) -> str | None:
    """Why this entry cannot be recorded; None if nothing speaks against asking Postgres."""
    if not isinstance(entry, dict):
        return "the entry is not an object"
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in ENTRY_KINDS:
        return f"kind {kind!r} is unknown"
    if not isinstance(seq := entry.get("seq"), str) or not _SEQ.fullmatch(seq):
        return "`seq` is not `epoch-number`"
    if not isinstance(entry.get("booking_id"), str):
        return "`booking_id` is missing"
    return None


def encode_event(topic: str, row: OutboxRow) -> Message:
    """CloudEvents 1.0, binary mode: attributes are headers, the data is the value."""
    at = datetime.fromtimestamp(row.at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    key = row.key.encode()
    headers = (
        *_OF_ALL_EVENTS,
        ("ce_id", row.event_id.encode()),
        ("ce_type", row.type.encode()),
        ("ce_subject", key),
        ("ce_time", at.encode()),
    )
    return Message(topic, key, _json(row.data), headers=headers)


def encode_replay(topics: Collection[str], row: OutboxRow) -> Message | None:
    """A dead letter that is to be sent again, as it was and to where it came from; None if there is no such topic."""
    data = row.data
    if data["topic"] not in topics:
        return None
    headers = tuple((name, b64decode(text or "")) for name, text in data["headers"])  # kafka-python sends no null
    return Message(data["topic"], b64decode(data["key"]), b64decode(data["payload"]), data["partition"], headers)


def decode_event(value: bytes | None, headers: Headers, shards: int) -> Settling | None:
    """What a public event has to tell Redis; None if nothing. Raises `Poison`."""
    attributes = _attributes(headers)
    match kind := attributes.get("ce_type"):
        case "booking.confirmed" | "booking.released" | "booking.expired":
            return _decided(_object(value), shards)
        case "booking.cancelled" | "zone.opened":
            data = _object(value)
            return Settling(_shard_of(_part(data, "zone"), shards), {}, _learned(data))
        case "shard.rebuilt":
            return None  # told to others only
        case _:
            raise Poison(f"type {kind!r} is unknown")


def decode_payment_event(value: bytes | None, headers: Headers) -> Notice:
    """What a payments team tells of an attempt. Raises `Poison`."""
    attributes = _attributes(headers)
    kind, source, id_ = (attributes.get(name, "") for name in ("ce_type", "ce_source", "ce_id"))
    if kind not in PAYMENT_EVENTS:
        raise Poison(f"type {kind!r} is unknown")
    if len(f"{source} {id_}".encode()) > _PAYMENT_EVENT_ID_BYTES:
        raise Poison(f"`ce_source` and `ce_id` are longer than {_PAYMENT_EVENT_ID_BYTES} bytes: no index holds that")
    if not id_ or "\0" in source + id_:
        raise Poison("`ce_id` is missing, or there is a NUL, which Postgres cannot keep")
    try:
        data = object_to_keep(value or b"")
    except ValueError as error:
        raise Poison(f"not JSON: {error}") from None
    try:
        attempt_id = str(UUID(data.get("attempt_id")))
    except (ValueError, TypeError, AttributeError):
        raise Poison("`attempt_id` is not a UUID") from None
    # CloudEvents: it is source and id together that are unique.
    return Notice(f"{source} {id_}", kind, kind == "payment.succeeded", attempt_id, None, data)


def _attributes(headers: Headers) -> dict[str, str]:
    """Of a CloudEvent of the version that we know. Raises `Poison`."""
    attributes = {name: text.decode("utf-8", "replace") for name, text in headers if text is not None}
    if (version := attributes.get("ce_specversion")) != "1.0":
        raise Poison(f"specversion {version!r} of CloudEvents is unknown")
    return attributes


def _decided(data: dict[str, Any], shards: int) -> Settling:
    """What Redis ended itself is no news to it. What an older Redis ended is, to one that was filled from a Postgres
    which had not heard of it: it holds the seats again."""
    booking = _part(data, "booking")
    booking_id, status = booking.get("booking_id"), booking.get("status")
    if not isinstance(booking_id, str):
        raise Poison("`booking.booking_id` is missing")
    if status not in ("confirmed", "released", "expired"):
        raise Poison(f"`booking.status` {status!r} is unknown")
    learned = _learned(data) if status == "confirmed" else Learned()
    return Settling(_shard_of(booking, shards), {booking_id: status}, learned)


def _shard_of(part: dict[str, Any], shards: int) -> int:
    event_id = part.get("event_id")
    if not isinstance(event_id, str):
        raise Poison("`event_id` is missing")
    return shard_of_event(event_id, shards)


def _learned(data: dict[str, Any]) -> Learned:
    zone = _part(data, "zone")
    if not isinstance(zone.get("event_id"), str):
        raise Poison("`zone.event_id` is missing")
    users: tuple[Facts, ...] = (_part(data, "user"),) if data.get("user") is not None else ()
    return Learned((zone,), users)


def _object(value: bytes | None) -> dict[str, Any]:
    if value is None:
        raise Poison("the record has no value")
    try:
        decoded = orjson.loads(value)
    except ValueError as error:
        raise Poison(f"not JSON: {error}") from None
    if not isinstance(decoded, dict):
        raise Poison("not a JSON object")
    return decoded


def _part(data: dict[str, Any], name: str) -> dict[str, Any]:
    part = data.get(name)
    if not isinstance(part, dict):
        raise Poison(f"`{name}` is missing")
    return part
