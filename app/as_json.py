"""JSON as it leaves the process, answers and log lines, two texts for each request; and as it comes in to be kept."""

import json
from collections.abc import Callable
from typing import Any

import orjson


def as_json(value: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """`value` in UTF-8, without spaces. `default` makes something of what JSON has no form for; else `TypeError`."""
    try:
        return orjson.dumps(value, default)
    except TypeError:
        # Lone surrogates and integers past 64 bits: a client may have sent them, and is told about them.
        return json.dumps(value, separators=(",", ":"), default=default).encode()


def object_to_keep(text: bytes) -> dict[str, Any]:
    """The JSON object in `text`. Raises `ValueError` also for one that jsonb cannot keep: with a NUL, or that cannot be
    written as it was read (a lone surrogate, a number past all bounds, nested by the hundred)."""
    told = orjson.loads(text)
    if not isinstance(told, dict) or rb"\u0000" in text:
        raise ValueError("not a JSON object that can be kept")
    try:
        orjson.dumps(told)
    except TypeError as error:
        raise ValueError(str(error)) from None
    return told
