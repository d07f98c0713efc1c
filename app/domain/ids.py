"""Ids: a booking's UUID carries its shard, so that confirm, release and get need no look-up.

The layout is RFC 9562, UUID version 8: 48 bits of Unix time in milliseconds (time-ordered), version, 12 bits of
shard, variant, 62 random bits. The time only orders; no decision reads it.
"""

import re
import time
import zlib
from functools import lru_cache
from typing import Final

from app.domain.randomness import eight_bytes

_EVENT_OR_ZONE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", re.ASCII)
_VARIANT: Final = {digit: "89ab"[int(digit, 16) >> 2] for digit in "0123456789abcdef"}
"""Two random bits behind the variant's own, 10, of a digit of four."""
_BOOKING: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)


def is_id(text: str) -> bool:
    """Whether `text` may name an event or a zone."""
    return _EVENT_OR_ZONE.fullmatch(text) is not None


def is_booking_id(text: str) -> bool:
    """Whether `text` has the form of an id that `new_booking_id` makes."""
    return _BOOKING.fullmatch(text) is not None


def shard_of_event(event_id: str, shards: int) -> int:
    """CRC-32 (ISO 3309) of the event's id, modulo the number of shards."""
    return zlib.crc32(event_id.encode()) % shards


def new_booking_id(shard: int) -> str:
    """A fresh, time-ordered booking id in `shard` (0 to 4095)."""
    last = eight_bytes().hex()
    return f"{_of_this_millisecond(time.time_ns() // 1_000_000, shard)}{_VARIANT[last[0]]}{last[1:4]}-{last[4:]}"


@lru_cache(maxsize=64)
def _of_this_millisecond(milliseconds: int, shard: int) -> str:
    first = f"{milliseconds & (1 << 48) - 1:012x}"
    return f"{first[:8]}-{first[8:]}-8{shard:03x}-"


def shard_of_booking(booking_id: str, shards: int) -> int | None:
    """The shard that `booking_id` carries; None if it is not an id that this installation can have minted."""
    if not is_booking_id(booking_id):
        return None
    shard = int(booking_id[15:18], 16)
    return shard if shard < shards else None
