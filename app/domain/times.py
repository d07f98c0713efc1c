"""Times: Unix milliseconds inside, RFC 3339 in UTC outside."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from time import time_ns
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_text(milliseconds: int) -> str:
    """`1763848861234` as `"2025-11-22T22:01:01.234Z"`."""
    return f"{_to_the_second(milliseconds // 1000)}.{milliseconds % 1000:03}Z"


def now_to_text() -> str:
    """The present, to the microsecond."""
    seconds, microseconds = divmod(time_ns() // 1000, 1_000_000)
    return f"{_to_the_second(seconds)}.{microseconds:06}Z"


@lru_cache(maxsize=1024)  # the times of one second's answers share a few seconds
def _to_the_second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def from_datetime(at: datetime) -> int:
    """Unix milliseconds of an aware point in time. Raises `ValueError` for a naive one."""
    if at.tzinfo is None:
        raise ValueError("a time without its zone")
    return round(at.timestamp() * 1000)
