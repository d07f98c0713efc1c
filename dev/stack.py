"""A whole Holdfast in one directory: its servers, its web process and its worker."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from dev import locks, ports, settings, steps
from dev.errors import DevError, Interrupted, ProcessFailed, with_tail
from dev.gunicorn import Gunicorn
from dev.kafka import Kafka
from dev.postgres import DATABASE, Postgres
from dev.process import ROOT, Process
from dev.provider import Provider
from dev.redis import Redis
from dev.worker import Worker

_MIGRATE_TIMEOUT_S = 120.0
_LOCK_TIMEOUT_S = 300.0  # the other one may be fetching Kafka


def _silent(_line: str) -> None:
    """Says nothing: for tests."""


class Stack:
    """Everything that `make run` starts, under one directory; a second object on the same directory finds it running.

    `given` is the environment: DATABASE_URL, REDIS_URL and KAFKA_BOOTSTRAP_SERVERS there take the place of own servers
    (an empty KAFKA_BOOTSTRAP_SERVERS means: without Kafka), PAYMENTS=demo starts a payment provider of our own, every
    other setting reaches web and worker as it is.
    """

    def __init__(self, directory: Path, given: Mapping[str, str], say: Callable[[str], None] = _silent) -> None:
        self.directory = directory.absolute()
        self.postgres = Postgres(self.directory / "postgres")
        self.redis = Redis(self.directory / "redis")
        self.kafka = Kafka(self.directory / "kafka")
        self.settings: dict[str, str] = {}  # shared with web and worker, and filled by up()
        self.web = Gunicorn(self.directory / "web", self.settings)
        self.worker = Worker(self.directory / "worker", self.settings)
        self.provider = Provider(self.directory / "provider")
        self.started: list[Process] = []  # by this object, so that it stops no more than that
        self._given = given
        self._say = say

    @property
    def processes(self) -> list[Process]:
        """In the order in which they are stopped: nobody loses a server that it still talks to."""
        provider = [self.provider] if self.provider.directory.exists() else []
        return [self.web, self.worker, *provider, self.kafka, self.redis, self.postgres]

    @property
    def env_file(self) -> Path:
        return self.directory / "env"

    @property
    def base_url(self) -> str:
        return self.web.base_url

    def up(self) -> None:
        """Start what is missing and wait until /readyz answers 200.

        Raises DevError when that cannot be had; what was started until then goes on, and is in `started`.
        """
        with self._lock():
            given = self._running_environment() | dict(self._given)
            self.settings.clear()
            self.settings.update(settings.complete(given, settings.read(self.env_file)))
            self._start_provider()
            self._start_servers(given)
            for process in (self.worker, self.web):
                self._stop_if_outdated(process)
            # The worker first: it opens the shards that a restarted Redis has closed, and it alone can then also read
            # what Kafka still holds of them.
            self._start(self.worker)
            self._start(self.web)
            self._write_env()
            self.web.wait_until_ready()
            if not self.worker.running:
                raise ProcessFailed(with_tail("The worker ended right after its start.", self.worker.log))

    def down(self) -> list[Process]:
        """Stop everything, whoever started it; returns what was running. Data and secrets stay."""
        with self._lock():
            return self._stop(self.processes)

    def stop_started(self) -> list[Process]:
        """Stop what this object started, and nothing else; returns what was still running."""
        return self._stop([process for process in self.processes if process in self.started])

    # --- inside ---

    def _stop(self, processes: list[Process]) -> list[Process]:
        running = [process for process in processes if process.running]
        for process in processes:
            if process in running:
                self._say(f"stopping {process.name}")
            process.stop()
        return running

    def _start_servers(self, given: Mapping[str, str]) -> None:
        """Own servers, at the same time, for those whose address is not given; migrates while Kafka still starts."""
        addresses: list[tuple[str, Process, Callable[[], str]]] = [
            ("DATABASE_URL", self.postgres, self.postgres.url),
            ("REDIS_URL", self.redis, lambda: self.redis.url),
            ("KAFKA_BOOTSTRAP_SERVERS", self.kafka, lambda: self.kafka.bootstrap_servers),
        ]
        # Somebody who sourced .run/env gives us our own address. An empty one for Kafka means: without.
        own = {
            name: (server, address)
            for name, server, address in addresses
            if not given.get(name) or given[name] == _or_nothing(address)
        }
        if given.get("KAFKA_BOOTSTRAP_SERVERS") == "":
            del own["KAFKA_BOOTSTRAP_SERVERS"]
        missing = [server.name for server, _ in own.values() if not server.running]
        if missing:
            self._say(f"starting {', '.join(missing)}")
        with ThreadPoolExecutor() as pool:
            kafka = pool.submit(self._bring_up_kafka) if own.pop("KAFKA_BOOTSTRAP_SERVERS", None) else None
            stores = [pool.submit(self._bring_up, server) for server, _ in own.values()]
            for store in stores:
                store.result()
            for name, (_, address) in own.items():
                self.settings[name] = address()
            if "DATABASE_URL" in own:
                self.postgres.create_database(DATABASE)
            if not self.web.running or self._outdated(self.web, "DATABASE_URL"):
                self._migrate()
            if kafka is not None:
                self.settings["KAFKA_BOOTSTRAP_SERVERS"] = kafka.result()

    def _start_provider(self) -> None:
        """Where `PAYMENTS` is `demo`, or names the provider that was started here."""
        told = (self.settings.get("PAYMENTS"), self.settings.get("PAYMENTS_URL"))
        if told[0] != "demo" and told != ("http", _or_nothing(lambda: self.provider.url)):
            return
        if not self.web.running and not self.settings.get("BIND"):
            self.web.directory.mkdir(parents=True, exist_ok=True)
            ports.settle(self.web.directory / "port")  # the provider is told first where the web will be
        self.provider.settings = {
            "PROVIDER_WEBHOOK_URL": f"{self.web.base_url}/api/v1/webhooks/payments",
            "PROVIDER_WEBHOOK_SECRET": self.settings["PAYMENTS_WEBHOOK_SECRET"],
        }
        if settings.differ(self.provider.running_environment(), self.provider.settings, self.provider.settings):
            self.provider.stop()
        self._bring_up(self.provider)
        self.settings.update(PAYMENTS="http", PAYMENTS_URL=self.provider.url)

    def _bring_up(self, server: Process) -> None:
        since = time.monotonic()
        fresh = self._start(server)
        server.wait_until_ready()
        if fresh:
            self._say(f"{server.name} is ready ({time.monotonic() - since:.1f} s)")

    def _bring_up_kafka(self) -> str:
        """Its address; empty, with one sentence that says why, when it cannot be had."""
        try:
            self._bring_up(self.kafka)
        except Interrupted:
            raise
        except DevError as error:
            self.kafka.stop()
            reason = str(error).split("\n", 1)[0].rstrip(".")
            self._say(
                f"Running without Kafka ({reason}): booking and expiry work, and events wait in the outboxes "
                "until a later start finds it."
            )
            return ""
        return self.kafka.bootstrap_servers

    def _start(self, process: Process) -> bool:
        if not process.start():
            self._say(f"{process.name} is running already (pid {process.pid})")
            return False
        self.started.append(process)
        return True

    def _stop_if_outdated(self, process: Process) -> None:
        if process.running and self._outdated(process, *settings.COMPARED):
            self._say(f"{process.name} is started again, with the new settings")
            process.stop()

    def _outdated(self, process: Process, *names: str) -> bool:
        """Was it told something else than it would be told now?"""
        return settings.differ(process.running_environment(), self.settings, names)

    def _migrate(self) -> None:
        self._say("migrating")
        steps.run(
            [sys.executable, "-m", "flask", "--app", "wsgi", "db", "migrate"],
            cwd=ROOT,
            log=self.directory / "migrate.log",
            environment=self.settings,
            timeout_s=_MIGRATE_TIMEOUT_S,
        )

    def _running_environment(self) -> dict[str, str]:
        """What a running system was told: a plain `make up` gives a killed worker the settings that its peers have."""
        for process in (self.web, self.worker):
            told = process.running_environment()
            if told:
                if not told.get("KAFKA_BOOTSTRAP_SERVERS"):
                    told.pop("KAFKA_BOOTSTRAP_SERVERS", None)  # it could not be had then; perhaps it can now
                told.pop("BIND", None)
                return told
        return {}

    def _write_env(self) -> None:
        values = self.settings | {"BASE_URL": self.base_url}
        settings.write(self.env_file, {name: values[name] for name in settings.KEPT if name in values})

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One `up` or `down` at a time in this directory."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / "lock"
        refusal = f"Another make has held {path} for {_LOCK_TIMEOUT_S:g} s."
        with locks.alone(path, _LOCK_TIMEOUT_S, refusal):
            yield


def _or_nothing(address: Callable[[], str]) -> str | None:
    """The address of an own server, None before its first start."""
    try:
        return address()
    except DevError:
        return None
