"""The least that a WSGI application can do, on the very gunicorn configuration of Holdfast: what HTTP alone costs."""

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, Final

_BODY: Final = b'{"status":"ok"}'
_HEADERS: Final = [("Content-Type", "application/json"), ("Content-Length", str(len(_BODY)))]


class Hello:
    """What gunicorn.conf.py expects of an application, and nothing behind it."""

    def __init__(self) -> None:
        self.extensions: dict[str, Any] = {
            "holdfast": SimpleNamespace(close=lambda: None),
            "holdfast.start": lambda: None,
            "holdfast.settings": SimpleNamespace(drain_seconds=0),
        }

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response("200 OK", _HEADERS)
        return [_BODY]


app = Hello()
