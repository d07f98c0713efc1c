"""Bodies into what services take, by the fields of a schema.

marshmallow's way of loading any schema costs several times what our fields cost. Where a schema says that its fields
are all that judges (`Plain`), the same fields are asked directly, and marshmallow only for what they refuse: it then
says why. There is one definition of every rule, and it is the field.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from marshmallow import RAISE, Schema, ValidationError, missing, post_load

from app.api.strict_json import value_of
from app.domain.errors import Refusal, refusal

_REMEMBERED: Final = 1024
_REMEMBERED_BYTES: Final = 256


class Request(Schema):
    class Meta:
        unknown = RAISE


class Plain(Request):
    """A body whose members are judged one by one, each by its field, with no defaults; `made` of what they load, which
    nobody can change."""

    def made(self, loaded: dict[str, Any]) -> Any:
        return None

    @post_load
    def _made(self, loaded: dict[str, Any], **_: Any) -> Any:
        return self.made(loaded)


def unusable(errors: Any) -> Refusal:
    return refusal("VALIDATION_ERROR", "The request has fields that cannot be used", errors=errors)


def reader(schema: Schema) -> Callable[[bytes], Any]:
    """As `loader`, from the bytes of a body. Short ones that were understood are remembered: in an on-sale most buyers
    send the same few, byte for byte. Raises `MALFORMED_REQUEST` besides."""
    load = loader(schema)

    def read(raw: bytes) -> Any:
        return load(value_of(raw))

    if not isinstance(schema, Plain):
        return read
    remembered = lru_cache(_REMEMBERED)(read)
    return lambda raw: remembered(raw) if len(raw) <= _REMEMBERED_BYTES else read(raw)


def loader(schema: Schema) -> Callable[[Any], Any]:
    """What `schema` loads from a value of JSON. The result raises `VALIDATION_ERROR`, and what its fields raise."""

    def load(body: Any) -> Any:
        try:
            return schema.load(body)
        except ValidationError as error:
            raise unusable(error.messages) from None

    return _directly(schema, load) if isinstance(schema, Plain) else load


def _directly(schema: Plain, otherwise: Callable[[Any], Any]) -> Callable[[Any], Any]:
    fields = schema.fields
    for name, field in fields.items():
        if field.load_default is not missing or field.dump_only or field.data_key or field.attribute:
            raise TypeError(f"{name} is not a plain field")
    # `deserialize` is `_deserialize`, the method that a field overrides, between a look for null, which none of ours
    # takes, and the validators.
    judges = {name: field.deserialize if field.validators else field._deserialize for name, field in fields.items()}
    names = frozenset(fields)
    required = frozenset(name for name, field in fields.items() if field.required)

    def load(body: Any) -> Any:
        if not isinstance(body, dict) or not required <= body.keys() <= names:
            return otherwise(body)
        try:
            return schema.made({name: judges[name](value, name, body) for name, value in body.items()})
        except ValidationError:
            return otherwise(body)

    return load
