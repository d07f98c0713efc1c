"""Times: Unix milliseconds inside, RFC 3339 in UTC outside."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_text(milliseconds: int) -> str:
    """`1763848861234` as `"2025-11-22T22:01:01.234Z"`."""
    at = _EPOCH + timedelta(milliseconds=milliseconds)  # a float of seconds would lose milliseconds of far years
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_datetime(at: datetime) -> int:
    """Unix milliseconds of an aware point in time. Raises `ValueError` for a naive one."""
    if at.tzinfo is None:
        raise ValueError("a time without its zone")
    return round(at.timestamp() * 1000)
