"""Both outboxes as the relay sees them: read from the head, forget what Kafka has acknowledged.

Nothing is claimed and there is no cursor: what is there is unpublished. So any number of relays may run; they publish
duplicates at most, and never in another order than the first time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from app.stores import keys
from app.stores.lua import Redis
from app.stores.postgres import Postgres

_ID_LENGTH: Final = 16
_LAYOUT_1: Final = {
    "event_id": 0,
    "zone_id": 1,
    "user_id": 2,
    "quantity": 3,
    "unit_price_minor": 4,
    "currency": 5,
    "reserved_at_ms": 6,
    "deadline_ms": 7,
    "version": 9,
    "at_ms": 18,
    "idempotency_key": 14,
    "fingerprint": 15,
}
"""Where a reservation was packed in entries that wait from before layout 2: they begin with the id as a text."""
_KEY_1: Final = _LAYOUT_1["idempotency_key"]
_AT: Final = 18


class RedisOutbox:
    """The shards' streams."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def read(self, shard: int, limit: int, after: str | None = None) -> list[dict[str, Any]]:
        """Up to `limit` entries, the oldest first, each with its `seq` ("<epoch>-<n>"); those behind `after` if given.
        Raises `SERVICE_UNAVAILABLE`."""
        (reply,) = self._redis.pipeline([_range(shard, limit, f"({after}" if after else "-")], raw=True)
        return _entries(reply)

    def batches(self, shard: int, limit: int) -> Iterator[list[dict[str, Any]]]:
        """All that waits, in order, as `read` answers it. Raises `SERVICE_UNAVAILABLE`."""
        after = None
        while batch := self.read(shard, limit, after):
            yield batch
            after = batch[-1]["seq"]

    def heads(self, shards: Sequence[int], limit: int) -> dict[int, list[dict[str, Any]]]:
        """`read` of every shard, in one round trip; shards with nothing are left out. Raises `SERVICE_UNAVAILABLE`."""
        replies = self._redis.pipeline([_range(shard, limit, "-") for shard in shards], raw=True)
        return {shard: _entries(reply) for shard, reply in zip(shards, replies, strict=True) if reply}

    def acknowledge(self, last_seqs: Mapping[int, str]) -> None:
        """Of each of these shards, forgets everything up to and including its seq, in one round trip.
        Raises `SERVICE_UNAVAILABLE`."""
        trims: list[list[str | int]] = []
        for shard, last_seq in last_seqs.items():
            epoch, _, seq = last_seq.partition("-")
            trims.append(["XTRIM", keys.outbox(shard), "MINID", f"{epoch}-{int(seq) + 1}"])
        self._redis.pipeline(trims)


def _range(shard: int, limit: int, start: str) -> list[str | int]:
    return ["XRANGE", keys.outbox(shard), start, "+", "COUNT", limit]


def _entries(reply: list[Any]) -> list[dict[str, Any]]:
    return [_entry(seq.decode(), *flat) for seq, flat in reply]


def _entry(seq: str, kind: bytes, told: bytes, *more: bytes) -> dict[str, Any]:
    """As lua/include/outbox.lua writes it, packed as in lua/include/reservation.lua. What nobody can read keeps its
    number: whoever records it puts it aside, and those behind it go on. At length: it is done for each reservation."""
    old = told[8:9] == b"-"
    booking_id, packed = (_text(told[:36]), told[36:]) if old else (_uuid(told[:_ID_LENGTH]), told[_ID_LENGTH:])
    try:
        v = msgpack.unpackb(packed, unicode_errors="surrogateescape")
        "".join((v[0], v[1], v[2], v[5], v[_KEY_1 if old else 10])).encode()  # what is no text, no JSON can tell
        if old:
            at_rest = {name: v[at] for name, at in _LAYOUT_1.items()}
        else:
            at_rest = {
                "event_id": v[0],
                "zone_id": v[1],
                "user_id": v[2],
                "quantity": v[3],
                "unit_price_minor": v[4],
                "currency": v[5],
                "reserved_at_ms": v[6],
                "deadline_ms": v[6] + v[7],
                "version": v[9],
                "at_ms": v[_AT] if len(v) > _AT else v[6],
                "idempotency_key": v[10],
                "fingerprint": v[11].encode("utf-8", "surrogateescape").hex(),
            }
    except (ValueError, TypeError, AttributeError, LookupError, msgpack.UnpackException):
        return {"seq": seq, "kind": _text(kind), "booking_id": booking_id}
    entry: dict[str, Any] = {"seq": seq, "kind": _text(kind), "booking_id": booking_id, **at_rest}
    for at in range(0, len(more), 2):
        entry[_text(more[at])] = _text(more[at + 1])
    return entry


def _uuid(of: bytes) -> str:
    text = of.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _text(of: bytes) -> str:
    return of.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A public event that waits in Postgres. `event_id` is the CloudEvents id: duplicates share it."""

    id: int
    event_id: str
    type: str
    key: str
    shard: int
    data: dict[str, Any]
    at_ms: int


class LedgerOutbox:
    """The table booking.outbox."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def read(self, limit: int) -> list[OutboxRow]:
        """Up to `limit` rows, the oldest first. Raises `SERVICE_UNAVAILABLE`."""
        rows = self._postgres.rows(
            "SELECT outbox_id, ce_id, type, key, shard, data, at_ms FROM booking.read_outbox(p_limit => %s)", [limit]
        )
        return [OutboxRow(*row) for row in rows]

    def acknowledge(self, ids: Sequence[int]) -> None:
        """Forgets these rows. Raises `SERVICE_UNAVAILABLE`."""
        self._postgres.rows("SELECT booking.acknowledge_outbox(p_ids => %s)", [list(ids)])
