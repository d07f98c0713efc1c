"""Postgres as the port `Recorder`: the outboxes' entries, written behind, in batches."""

from collections.abc import Sequence
from typing import Any, Final, LiteralString

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


class PostgresRecorder:
    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def record(self, entries: Sequence[Entry]) -> None:
        """One call, one transaction: all of them are recorded, or none.

        Raises `SERVICE_UNAVAILABLE`; `Unrecordable` if there is an entry among them that can never be recorded."""
        by_kind: dict[str, list[dict[str, Any]]] = {}
        latest: dict[tuple[str, int], dict[str, Any]] = {}
        for entry in entries:
            numbered = _with_epoch(entry)
            by_kind.setdefault(str(entry.get("kind")), []).append(numbered)
            of_shard = str(entry.get("booking_id"))[_SHARD], numbered["epoch"]
            if of_shard not in latest or numbered["seq"] > latest[of_shard]["seq"]:
                latest[of_shard] = numbered
        if unknown := by_kind.keys() - ENTRY_KINDS:
            raise Unrecordable(f"no such kind of entry: {', '.join(sorted(unknown))}")
        batches = [Jsonb(by_kind[kind]) if kind in by_kind else None for kind in ENTRY_KINDS]
        try:
            self._postgres.rows(_RECORD, [*batches, Jsonb(list(latest.values()))])
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise Unrecordable(str(error)) from error


def _with_epoch(entry: Entry) -> dict[str, Any]:
    """The stream's id is "<epoch>-<n>"."""
    epoch, _, seq = str(entry.get("seq")).partition("-")
    try:
        return {**entry, "epoch": int(epoch), "seq": int(seq)}
    except ValueError as error:
        raise Unrecordable(f"no such seq: {entry.get('seq')}") from error
