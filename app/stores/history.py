"""Postgres as the port `HistoryLog`: the history of all bookings, read on from a number."""

from collections.abc import Sequence

from app.domain.model import Happened
from app.stores.postgres import Postgres


class PostgresHistory:
    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def seek(self, since_ms: int | None) -> int:
        ((number,),) = self._postgres.rows("SELECT booking.seek_history(p_since_ms => %s)", [since_ms])
        return int(number)

    def read(self, after: int, missing: Sequence[int], limit: int) -> list[Happened]:
        rows = self._postgres.rows(
            "SELECT history_id, booking_id::text, event_id, zone_id, user_id, quantity, status, cause, at_ms "
            "FROM booking.tail_history(p_after => %s, p_missing => %s::bigint[], p_limit => %s)",
            [after, list(missing), limit],
        )
        return [Happened(*row) for row in rows]
