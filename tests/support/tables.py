"""All that Postgres holds, in a form that can be compared: without when it was recorded, and without surrogate ids."""

from typing import Any, Final

import psycopg
from psycopg import sql

# The outbox drains and photographs are taken: neither is part of what has happened.
_PASSING: Final = ("outbox", "redis_snapshots", "dead_letters")


def contents(database_url: str) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of every table of schema booking, sorted, by the table's name."""
    with psycopg.connect(database_url) as connection:
        columns = connection.execute(
            "SELECT table_name, array_agg(column_name::text ORDER BY ordinal_position) "
            "FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name) "
            "WHERE table_schema = 'booking' AND table_type = 'BASE TABLE' AND table_name <> ALL (%s) "
            "AND is_identity = 'NO' AND column_name <> 'recorded_at' GROUP BY 1",
            [list(_PASSING)],
        ).fetchall()
        return {
            table: connection.execute(
                sql.SQL("SELECT {names} FROM booking.{table} ORDER BY {names}").format(
                    names=sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in names),
                    table=sql.Identifier(table),
                )
            ).fetchall()
            for table, names in columns
        }
