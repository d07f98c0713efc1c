"""Postgres as the port `Recorder`: the outboxes' entries, written behind, in batches."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, LiteralString

from psycopg.types.json import Jsonb

from app.domain.ports import Entry
from app.stores.postgres import Postgres

# In this order: within a batch a booking's beginning comes before its end.
_FUNCTIONS: Final[dict[str, LiteralString]] = {
    "created": "SELECT booking.record_reservations(p_entries => %s)",
    "released": "SELECT booking.record_releases(p_entries => %s)",
    "expired": "SELECT booking.record_expiries(p_entries => %s)",
}
KINDS: Final = frozenset(_FUNCTIONS)


class PostgresRecorder:
    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def record(self, entries: Sequence[Entry]) -> None:
        """One call for each kind of entry among `entries`.

        Raises `SERVICE_UNAVAILABLE`; `ValueError` for an entry of an unknown kind or shape; psycopg's `DataError` or
        `IntegrityError` for one that cannot be recorded: some of the batch may then be recorded, and may come again."""
        by_kind: dict[str, list[dict[str, Any]]] = {}
        for entry in entries:
            by_kind.setdefault(str(entry.get("kind")), []).append(_with_epoch(entry))
        if unknown := by_kind.keys() - KINDS:
            raise ValueError(f"no such kind of entry: {', '.join(sorted(unknown))}")
        for kind, function in _FUNCTIONS.items():
            if batch := by_kind.get(kind):
                self._postgres.rows(function, [Jsonb(list(_once(batch)))])


def _with_epoch(entry: Entry) -> dict[str, Any]:
    """The stream's id is "<epoch>-<n>"."""
    epoch, _, seq = str(entry.get("seq")).partition("-")
    return {**entry, "epoch": int(epoch), "seq": int(seq)}


def _once(batch: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """A batch names each booking once: what comes twice comes twice whole."""
    return {str(entry.get("booking_id")): entry for entry in batch}.values()
