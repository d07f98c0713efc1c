"""A checker is worth what its control shows: with the protection switched off, it goes red."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def goes_red(match: str) -> Iterator[None]:
    """The block must fail an assertion whose message matches; the message is printed (`pytest -rP` shows it)."""
    with pytest.raises(AssertionError, match=match) as red:
        yield
    print(f"red, as it must be: {str(red.value).splitlines()[0]}")
