"""Postgres as the port `Recorder`: the outboxes' entries, written behind, in batches."""

from collections.abc import Sequence
from typing import Any, Final, LiteralString

import psycopg
from psycopg.types.json import Jsonb

from app.domain.errors import Unrecordable
from app.domain.ports import ENTRY_KINDS, Entry
from app.stores.postgres import Postgres

_FUNCTIONS: Final[dict[str, LiteralString]] = {
    "created": "SELECT booking.record_reservations(p_entries => %s)",
    "released": "SELECT booking.record_releases(p_entries => %s)",
    "extended": "SELECT booking.record_extensions(p_entries => %s)",
    "expired": "SELECT booking.record_expiries(p_entries => %s)",
}


class PostgresRecorder:
    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def record(self, entries: Sequence[Entry]) -> None:
        """One call for each kind of entry among `entries`.

        Raises `SERVICE_UNAVAILABLE`; `Unrecordable` if there is an entry among them that can never be recorded: some of
        the batch may then be recorded, and may come again."""
        by_kind: dict[str, list[dict[str, Any]]] = {}
        for entry in entries:
            by_kind.setdefault(str(entry.get("kind")), []).append(_with_epoch(entry))
        if unknown := by_kind.keys() - ENTRY_KINDS:
            raise Unrecordable(f"no such kind of entry: {', '.join(sorted(unknown))}")
        for kind in ENTRY_KINDS:
            if batch := by_kind.get(kind):
                self._call(_FUNCTIONS[kind], batch)

    def _call(self, function: LiteralString, batch: list[dict[str, Any]]) -> None:
        try:
            self._postgres.rows(function, [Jsonb(batch)])
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise Unrecordable(str(error)) from error


def _with_epoch(entry: Entry) -> dict[str, Any]:
    """The stream's id is "<epoch>-<n>"."""
    epoch, _, seq = str(entry.get("seq")).partition("-")
    try:
        return {**entry, "epoch": int(epoch), "seq": int(seq)}
    except ValueError as error:
        raise Unrecordable(f"no such seq: {entry.get('seq')}") from error
