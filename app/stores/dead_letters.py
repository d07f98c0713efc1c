"""Messages that could not be handled, in booking.dead_letters: kept by the consumers, resolved by an operator."""

import base64
from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from app.domain.model import DeadLetter
from app.stores.postgres import Postgres

Headers = Sequence[tuple[str, bytes | None]]


class PostgresDeadLetters:
    """All raise `SERVICE_UNAVAILABLE`."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def bury(
        self, topic: str, partition: int, offset: int, cause: str, payload: bytes, key: bytes, headers: Headers
    ) -> None:
        """Keeps a message; the same one at the same place once."""
        self._postgres.rows(
            "SELECT booking.bury_message(p_topic => %s, p_partition => %s, p_offset => %s, p_cause => %s, "
            "p_payload => %s, p_key => %s, p_headers => %s)",
            [topic, partition, offset, cause, payload, key, Jsonb(_texts(headers))],
        )

    def latest(self, state: str | None, limit: int) -> list[DeadLetter]:
        """The latest first; of all states for None."""
        return self._read(state, None, limit)

    def get(self, number: int) -> DeadLetter | None:
        return next(iter(self._read(None, number, 1)), None)

    def replay(self, numbers: Sequence[int] | None) -> list[int]:
        """Sends those that wait again, all of them for None; answers which."""
        rows = self._postgres.rows("SELECT booking.replay_dead_letters(p_ids => %s)", [numbers and list(numbers)])
        return [number for (number,) in rows]

    def discard(self, numbers: Sequence[int] | None) -> list[int]:
        """Nothing is to be done about those that wait, all of them for None; answers which."""
        rows = self._postgres.rows("SELECT booking.discard_dead_letters(p_ids => %s)", [numbers and list(numbers)])
        return [number for (number,) in rows]

    def _read(self, state: str | None, number: int | None, limit: int) -> list[DeadLetter]:
        rows = self._postgres.rows(
            "SELECT dead_letter_id, topic, partition, log_offset, cause, payload, key, headers, state, at_ms "
            "FROM booking.list_dead_letters(p_state => %s, p_id => %s, p_limit => %s)",
            [state, number, limit],
        )
        return [_letter(row) for row in rows]


def _letter(row: Sequence[Any]) -> DeadLetter:
    number, topic, partition, offset, cause, payload, key, headers, state, at_ms = row
    told = tuple((name, None if text is None else base64.b64decode(text)) for name, text in headers)
    return DeadLetter(number, topic, partition, offset, cause, bytes(payload), bytes(key), told, state, at_ms)


def _texts(headers: Headers) -> list[tuple[str, str | None]]:
    """Values are bytes that no JSON takes."""
    return [(name, None if value is None else base64.b64encode(value).decode()) for name, value in headers]
