"""gunicorn as it serves Holdfast, with the least of applications in its place: what is HTTP's alone needs no stores."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.gunicorn import Gunicorn
from tests.support import servers

_SETTINGS = {
    "DATABASE_URL": "postgresql://nobody-asks",
    "REDIS_URL": "redis://nobody-asks",
    "APP_ENV": "development",
    "JWT_SECRET": "secret",
}


class HelloWeb(Gunicorn):
    application = "bench.hello:app"

    def command(self) -> list[str]:
        return [*super().command()[:-1], self.application]

    def ready(self) -> bool:
        return self.status("/livez") == 200


@contextmanager
def hello(directory: Path, options: str = "", kind: type[HelloWeb] = HelloWeb, **settings: str) -> Iterator[HelloWeb]:
    """Ready when the block begins, ends with it. `options`: of gunicorn's command line."""
    web = kind(directory, servers.environment(**_SETTINGS, GUNICORN_CMD_ARGS=options, **settings))
    web.start()
    try:
        web.wait_until_ready()
        yield web
    finally:
        web.stop()
