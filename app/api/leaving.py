"""Whether this server is about to end: said by `/readyz` first, so that a balancer sends its clients elsewhere."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Flask, current_app

from app.domain.errors import refusal

V = TypeVar("V", bound=Callable[..., Any])
_NAME = "holdfast.leaving"


def register(app: Flask) -> None:
    """Whoever runs the application may say otherwise, by `tell`."""
    tell(app, lambda: False)


def tell(app: Flask, leaving: Callable[[], bool]) -> None:
    """`leaving` is asked from now on."""
    app.extensions[_NAME] = leaving


def unless_leaving(view: V) -> V:
    """Raises `SERVICE_UNAVAILABLE` in place of the view's answer: no store is asked any more."""

    @wraps(view)
    def staying(*positional: Any, **named: Any) -> Any:
        if current_app.extensions[_NAME]():
            raise refusal("SERVICE_UNAVAILABLE", "Not ready: about to end", parts={"server": "about to end"})
        return view(*positional, **named)

    return cast(V, staying)
