"""Cursors of a list: where its next page begins, as text that nobody makes up by accident."""

import binascii
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final
from zlib import crc32

PATTERN: Final = "^[A-Za-z0-9_-]{27}$"


def to_text(booking_id: str) -> str:
    """A cursor behind `booking_id`: its 16 bytes and their CRC-32, in base64url (RFC 4648, section 5)."""
    raw = uuid.UUID(booking_id).bytes
    return urlsafe_b64encode(raw + crc32(raw).to_bytes(4, "big")).decode().rstrip("=")


def from_text(cursor: str) -> str | None:
    """The booking id behind `cursor`; None for what is no cursor of ours."""
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except (ValueError, binascii.Error):
        return None
    if len(raw) != 20 or crc32(raw[:16]).to_bytes(4, "big") != raw[16:]:
        return None
    booking_id = str(uuid.UUID(bytes=raw[:16]))
    return booking_id if to_text(booking_id) == cursor else None
