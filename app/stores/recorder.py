"""Postgres as the port `Recorder`: the outboxes' entries, written behind, in batches."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Final, LiteralString

import orjson
import psycopg
from psycopg.types.json import Jsonb

from app.domain.errors import Unrecordable
from app.domain.ports import ENTRY_KINDS, Entry
from app.stores.postgres import Postgres

_RECORD: Final[LiteralString] = (
    "SELECT booking.record_batch(p_created => %s, p_extended => %s, p_released => %s, p_expired => %s, p_latest => %s)"
)
_SHARD: Final = slice(15, 18)
"""Of a booking id (app/domain/ids.py)."""
_FIELDS: Final = (
    "booking_id",
    "event_id",
    "zone_id",
    "user_id",
    "quantity",
    "unit_price_minor",
    "currency",
    "reserved_at_ms",
    "deadline_ms",
    "version",
    "at_ms",
    "idempotency_key",
    "fingerprint",
    "seq",
)
_OF_SOME: Final = ("verb_key", "verb_fingerprint")
_told = itemgetter(*_FIELDS)


class PostgresRecorder:
    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def record(self, entries: Sequence[Entry]) -> None:
        """One call, one transaction: all of them are recorded, or none.

        Raises `SERVICE_UNAVAILABLE`; `Unrecordable` if there is an entry among them that can never be recorded."""
        by_kind: dict[str, list[Entry]] = {}
        latest: dict[tuple[str, str], tuple[int, Entry]] = {}
        for entry in entries:
            by_kind.setdefault(str(entry.get("kind")), []).append(entry)
            epoch, number = _seq_of(entry)
            of_shard = str(entry.get("booking_id"))[_SHARD], epoch
            if of_shard not in latest or number > latest[of_shard][0]:
                latest[of_shard] = number, entry
        if unknown := by_kind.keys() - ENTRY_KINDS:
            raise Unrecordable(f"no such kind of entry: {', '.join(sorted(unknown))}")
        batches = [_jsonb([row(e) for e in by_kind[kind]]) if kind in by_kind else None for kind in ENTRY_KINDS]
        try:
            self._postgres.rows(_RECORD, [*batches, _jsonb([entry for _, entry in latest.values()])])
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise Unrecordable(str(error)) from error


def row(entry: Entry) -> Sequence[object]:
    """An entry by position, as sql/functions/entries_of.sql reads it. What it lacks is null: Postgres' to refuse."""
    try:
        told = _told(entry)
    except KeyError:
        told = tuple(entry.get(name) for name in _FIELDS)
    return (*told, *map(entry.get, _OF_SOME)) if "verb_key" in entry else told


def _jsonb(of: Sequence[object]) -> Jsonb:
    return Jsonb(of, dumps=orjson.dumps)


def _seq_of(entry: Entry) -> tuple[str, int]:
    """The stream's id is "<epoch>-<n>"."""
    epoch, _, number = str(entry.get("seq")).partition("-")
    try:
        return epoch, int(number)
    except ValueError as error:
        raise Unrecordable(f"no such seq: {entry.get('seq')}") from error
