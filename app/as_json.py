"""JSON as it leaves the process: answers and log lines, two texts for each request."""

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
