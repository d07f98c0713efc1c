"""What is measured: a real Holdfast started through dev/, further web processes on the same stores, and peers."""

import json
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
import redis

from bench.cpu import Roots
from dev import interruption
from dev import settings as dev_settings
from dev.gunicorn import Gunicorn
from dev.stack import Stack

ADMIN_TOKEN: Final = secrets.token_urlsafe(24)
SETTINGS: Final = {
    "APP_ENV": "production",
    "AUTH_MODE": "gateway",
    "ADMIN_TOKEN": ADMIN_TOKEN,
    "WEB_CONCURRENCY": "1",
    "DRAIN_SECONDS": "0",
    "LOG_LEVEL": "INFO",
}
"""As in production, the line of log for each request included. A gateway has verified the caller."""
_DRAIN_S: Final = 120.0
_HOLD_S: Final = 7_200
"""Unless said otherwise nothing expires while something else is measured: expiry has rows of its own."""
_POLL_S: Final = 0.05


class Web(Gunicorn):
    """A web process beside the stack's own: another application, or other settings."""

    def __init__(self, directory: Path, settings: Mapping[str, str], arguments: Sequence[str] = ()) -> None:
        super().__init__(directory, settings)
        self._arguments = list(arguments)

    def command(self) -> list[str]:
        program = str(Path(sys.executable).with_name("gunicorn"))
        if not self._arguments:
            return super().command()
        return [sys.executable, program, *self._arguments]

    def ready(self) -> bool:
        return self.status("/livez" if self._arguments else "/readyz") == 200


@dataclass
class System:
    """One running system. `variants`: name -> settings of a web process of its own that differs in them."""

    directory: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    webs: dict[str, Web] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = {n: v for n, v in dev_settings.environment().items() if n not in dev_settings.COMPARED}
        self.stack = Stack(self.directory, {**given, **SETTINGS, **self.settings})

    def __enter__(self) -> "System":
        self._erase()
        try:
            self.stack.up()
            if not self.stack.settings["KAFKA_BOOTSTRAP_SERVERS"]:
                raise RuntimeError(f"nothing would be recorded without Kafka: see {self.stack.kafka.directory}/log")
        except BaseException:
            self.stack.down()
            raise
        self.redis = redis.Redis.from_url(self.stack.settings["REDIS_URL"], decode_responses=True)
        self.raw = redis.Redis.from_url(self.stack.settings["REDIS_URL"])
        self.postgres = psycopg.connect(self.stack.settings["DATABASE_URL"], autocommit=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.postgres.close()
        self.redis.close()
        self.raw.close()
        for web in self.webs.values():
            web.stop()
        self.stack.down()

    def _erase(self) -> None:
        """Each run begins with nothing: what the last one has left would expire, and be recorded, during this one."""
        self.stack.down()
        for process in self.stack.processes:
            process.erase()

    def web(self, name: str, changed: Mapping[str, str], arguments: Sequence[str] = ()) -> Web:
        """Starts one more web process on the same stores, with these settings changed."""
        settings = {**self.stack.settings, **changed}
        web = self.webs[name] = Web(self.directory / f"web-{name.replace(' ', '-')}", settings, arguments)
        web.start()
        web.wait_until_ready()
        return web

    def roots(self, web: Gunicorn, *others: str) -> Roots:
        """The processes that serve a request: the web's, and of the others those named."""
        stack = self.stack
        known = {"redis": stack.redis, "postgres": stack.postgres, "worker": stack.worker, "broker": stack.kafka}
        roots = {"web": [web.pid or 0]}
        return roots | {role: [known[role].pid or 0] for role in others}

    def drain(self) -> None:
        """Waits until all that was promised is recorded: both outboxes empty, Postgres as far as the streams."""
        deadline = time.monotonic() + _DRAIN_S
        while not self._is_drained():
            if time.monotonic() > deadline:
                raise RuntimeError(f"the worker did not record within {_DRAIN_S:g} s what was promised")
            interruption.sleep(_POLL_S)

    def _is_drained(self) -> bool:
        if self.postgres.execute("SELECT 1 FROM booking.outbox LIMIT 1").fetchone():
            return False
        return not any(self.unrecorded())

    def unrecorded(self) -> tuple[int, int]:
        """Entries in the streams, and those that Postgres does not have: by the numbers that both stores know."""
        shards = self.postgres.execute("SELECT shard, epoch, highest_seq FROM booking.shards").fetchall()
        ask = self.raw.pipeline(transaction=False)  # raw: an entry is no text
        for shard, _, _ in shards:
            ask.xinfo_stream(f"{{{shard:02}}}:outbox")
        waiting = missing = 0
        for (_, epoch, highest), told in zip(shards, ask.execute(raise_on_error=False), strict=True):
            if isinstance(told, redis.ResponseError):
                continue  # nothing was ever told of this shard
            of, _, number = told["last-generated-id"].decode().partition("-")
            waiting += told["length"]
            missing += max(0, int(number) - highest) if int(of) == epoch else 0
        return waiting, missing

    def ask(self, method: str, path: str, body: Any = None, user: str = "bench", base: str = "") -> tuple[int, Any]:
        """One request outside any measurement."""
        request = urllib.request.Request(
            f"{base or self.stack.base_url}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "X-User-ID": user,
                "Authorization": f"Bearer {ADMIN_TOKEN}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def open_event(self, event: str, zones: Sequence[str] = ("A",), capacity: int = 2**31 - 1, **terms: Any) -> str:
        """Puts a fresh event on sale. Raises `RuntimeError` when that is refused."""
        fields = {"name": event, "max_per_user": 10, "hold_seconds": _HOLD_S, **terms}
        calls = [(f"/admin/events/{event}", fields)]
        zone = {"capacity": capacity, "price_minor": 15_000, "currency": "THB"}
        calls += [(f"/admin/events/{event}/zones/{name}", zone) for name in zones]
        for path, body in calls:
            status, answer = self.ask("PUT", path, body)
            if status >= 300:
                raise RuntimeError(f"PUT {path}: {status} {answer}")
        return event
