"""gunicorn with an application whose every answer is 1 MiB, or (`Unswept`) that looks after no silent connection."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from bench.hello import Hello
from tests.support.hello_web import HelloWeb

BYTES: Final = 1 << 20
_BODY: Final = bytes(BYTES)


class Large(Hello):
    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/livez":
            return super().__call__(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(BYTES))])
        return [_BODY]


app = Large()


def unswept() -> Hello:
    """Only where gunicorn asks for it: the worker that loads it closes no idle connection from then on."""
    from serving import worker

    worker._SWEEP_S = 3_600.0  # type: ignore[misc]
    return Hello()


class LargeWeb(HelloWeb):
    application = "tests.support.large_web:app"


class UnsweptWeb(HelloWeb):
    application = "tests.support.large_web:unswept()"
