"""Reads a body as JSON, strictly: what two parsers could understand differently is refused.

Numbers with a fraction or an exponent become `Decimal`, so that no float arises. Strings are checked by the fields.
"""

import json
from decimal import Decimal, InvalidOperation
from io import BytesIO
from typing import Any, Final, NoReturn

from werkzeug.exceptions import ClientDisconnected
from werkzeug.http import parse_options_header
from werkzeug.wsgi import get_content_length, get_input_stream

from app.api.asked import Asked
from app.domain.errors import refusal

_JSON: Final = "application/json"
_LONGEST_INTEGER: Final = 64  # digits; int() of very long ones takes quadratic time, and none of ours has more than 19


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")  # json.loads would take NaN and Infinity


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise ValueError("a number has too many digits")
    return int(text)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("a number cannot be represented") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has a member twice")
    return members


_DECODER: Final = json.JSONDecoder(
    parse_float=_decimal, parse_int=_integer, parse_constant=_refuse_constant, object_pairs_hook=_object
)


def text_of(asked: Asked) -> bytes:
    """The body, which is to be JSON; empty where there is none.

    Raises `UNSUPPORTED_MEDIA_TYPE`, `MALFORMED_REQUEST`, `PAYLOAD_TOO_LARGE`; where the length is told, werkzeug does.
    """
    raw = bytes_of(asked)
    if raw and not _is_json(asked.environ.get("CONTENT_TYPE", "")):
        raise refusal("UNSUPPORTED_MEDIA_TYPE", "The body must be sent as application/json")
    return raw


def value_of(raw: bytes) -> Any:
    """The JSON value of a body; that of none is `{}`. Raises `MALFORMED_REQUEST`."""
    if not raw:
        return {}
    try:
        return _DECODER.decode(raw.decode("utf-8"))
    except RecursionError:
        raise refusal("MALFORMED_REQUEST", "The body is nested too deeply") from None
    except ValueError as error:  # also UnicodeDecodeError and JSONDecodeError
        raise refusal("MALFORMED_REQUEST", f"The body is not JSON: {_reason(error)}") from None


def bytes_of(asked: Asked) -> bytes:
    """The server waits for a body as long as something of it comes now and then: the time for all of it is ours.

    Raises `MALFORMED_REQUEST`, `PAYLOAD_TOO_LARGE`; where the length is told, werkzeug does."""
    environ, largest = asked.environ, asked.app.config["MAX_CONTENT_LENGTH"]
    stream = environ["wsgi.input"]
    if type(stream) is BytesIO:
        size = stream.getbuffer().nbytes
        if size <= largest and environ.get("CONTENT_LENGTH", "0") == str(size):
            return stream.read()  # all of it is here: nothing to wait for
    length = get_content_length(environ)
    try:
        with asked.app.extensions["holdfast.body_time"]():
            raw = get_input_stream(environ, max_content_length=largest).read()
    except (ClientDisconnected, TimeoutError):  # werkzeug takes whatever ends a read for the former
        raise refusal("MALFORMED_REQUEST", "The body did not arrive whole and in time") from None
    # A chunked body is cut off at the limit without a word: what fills it is taken for cut off.
    if length is None and len(raw) == largest:
        raise refusal("PAYLOAD_TOO_LARGE")
    return raw


def _is_json(content_type: str) -> bool:
    return content_type == _JSON or parse_options_header(content_type)[0].lower() == _JSON


def _reason(error: ValueError) -> str:
    """What is wrong, without the body: it may hold what nobody should log."""
    match error:
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case json.JSONDecodeError():
            return f"{error.msg} at line {error.lineno}, column {error.colno}"
        case _:
            return str(error)
