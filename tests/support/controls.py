"""A checker is worth what its control shows: with the protection switched off, it goes red."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1

import psycopg
import pytest

from app.stores import lua, schema, scripts


@contextmanager
def goes_red(match: str) -> Iterator[None]:
    """The block must fail an assertion whose message matches; the message is printed (`pytest -rP` shows it)."""
    with pytest.raises(AssertionError, match=match) as red:
        yield
    print(f"red, as it must be: {str(red.value).splitlines()[0]}")


def altered_text(name: str, old: str, new: str) -> str:
    """Of script `name`, which must still have `old`: else the control would show nothing."""
    text = scripts.source(name)
    assert old in text, f"{name}.lua has no {old!r} any more"
    return text.replace(old, new)


@contextmanager
def altered_script(name: str, old: str, new: str) -> Iterator[None]:
    """Script `name` runs in this process with `old` replaced by `new`, as long as the block lasts."""
    text = altered_text(name, old, new)
    other = scripts.Script(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())
    others = lua.script  # which may be altered as well
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lua, "script", lambda wanted: other if wanted == name else others(wanted))
        yield


@contextmanager
def altered_function(database: str, name: str, old: str, new: str) -> Iterator[None]:
    """Function `name` of this database has `old` replaced by `new`, as long as the block lasts."""
    text = schema.function_files()[name]
    assert old in text, f"{name}.sql has no {old!r} any more"
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(text.replace(old, new).encode())
        try:
            yield
        finally:
            owner.execute(text.encode())
