"""What requests may hold (these load) and what answers look like (these only document; `present` writes them)."""

from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validates_schema

from app.api import idempotency
from app.api.fields import (
    ID_PATTERN,
    INT32_MAX,
    PAYMENT_ID_PATTERN,
    PRICE_PATTERN,
    Currency,
    Id,
    IdempotencyKey,
    Instant,
    Name,
    PaymentId,
    Price,
    Whole,
    about,
)
from app.domain import money
from app.domain.model import Order

_PRICE_MAX = 10**11  # in minor units: times 2^31-1 seats it still fits 64 bits... checked by the total below
_ID = {"pattern": ID_PATTERN}
_SECONDS_OF_A_DAY = 86_400
