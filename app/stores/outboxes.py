"""Both outboxes as the relay sees them: read from the head, forget what Kafka has acknowledged.

Nothing is claimed and there is no cursor: what is there is unpublished. So any number of relays may run; they publish
duplicates at most, and never in another order than the first time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from app.stores import keys
from app.stores.lua import Redis
from app.stores.postgres import Postgres

_ID_LENGTH: Final = 36
_AT_REST: Final = {
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
"""Where lua/include/reservation.lua has packed what Postgres is told."""


class RedisOutbox:
    """The shards' streams."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def read(self, shard: int, limit: int, after: str | None = None) -> list[dict[str, Any]]:
        """Up to `limit` entries, the oldest first, each with its `seq` ("<epoch>-<n>"); those behind `after` if given.
        Raises `SERVICE_UNAVAILABLE`."""
        (reply,) = self._redis.pipeline([_range(shard, limit, f"({after}" if after else "-")], raw=True)
        return _entries(reply)

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
    """As lua/include/outbox.lua writes it. What nobody can read keeps its number: whoever records it puts it aside, and
    those behind it go on."""
    booking_id, packed = told[:_ID_LENGTH], told[_ID_LENGTH:]
    entry: dict[str, Any] = {"seq": seq, "kind": _text(kind), "booking_id": _text(booking_id)}
    try:
        at_rest = msgpack.unpackb(packed)
        entry |= {name: at_rest[at] for name, at in _AT_REST.items()}
    except (ValueError, TypeError, LookupError, msgpack.UnpackException):
        return entry
    return entry | {_text(more[i]): _text(more[i + 1]) for i in range(0, len(more), 2)}


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
