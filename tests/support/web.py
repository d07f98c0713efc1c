"""A gunicorn of a test's own, on servers that the test may pause or kill."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from dev.errors import with_tail
from dev.gunicorn import Gunicorn
from tests.support import servers

ADMIN_TOKEN = "admin-token-of-the-tests"
HEADERS = {"X-User-ID": "ann", "Authorization": f"Bearer {ADMIN_TOKEN}"}
ZONE = {"capacity": 10_000, "price_minor": 15_000, "currency": "THB"}


@contextmanager
def serving(directory: Path, program: type[Gunicorn] = Gunicorn, **settings: str) -> Iterator[Gunicorn]:
    """Runs until the block ends, in gateway mode; ready when the block begins."""
    given = {"AUTH_MODE": "gateway", "ADMIN_TOKEN": ADMIN_TOKEN, "APP_ENV": "development", **settings}
    server = program(directory, servers.environment(**given))
    server.start()
    try:
        server.wait_until_ready()
        yield server
    except BaseException:
        print(with_tail("The web process, to whoever asks what went wrong:", server.log))
        raise
    finally:
        server.stop()


def client_of(server: Gunicorn, user: str = "ann", **options: Any) -> httpx.Client:
    """Speaks to the server as `user` and as an administrator."""
    headers = {**HEADERS, "X-User-ID": user}
    return httpx.Client(base_url=f"{server.base_url}/api/v1", headers=headers, timeout=20, trust_env=False, **options)


def open_event(client: httpx.Client) -> str:
    """A fresh event with seats enough for everybody; answers its id."""
    event_id = f"web-{time.time_ns()}"
    client.put(f"/admin/events/{event_id}", json={"name": event_id, "max_per_user": 10_000}).raise_for_status()
    client.put(f"/admin/events/{event_id}/zones/A", json=ZONE).raise_for_status()
    return event_id


def order(event_id: str) -> dict[str, Any]:
    return {"event_id": event_id, "zone_id": "A", "quantity": 1}


@dataclass
class Visitors:
    """`rate` requests a second over `connections` that are kept, each its own client, until the block ends.

    `ask` answers a status; what is no HTTP answer counts by the name of its error. Nobody asks twice for the same."""

    server: Gunicorn
    ask: Callable[[httpx.Client], int]
    rate: float = 200
    connections: int = 20
    outcomes: Counter[int | str] = field(default_factory=Counter)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Visitors":
        self._pool = ThreadPoolExecutor(self.connections)
        self._visits = [self._pool.submit(self._visit, number) for number in range(self.connections)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown(wait=True)
        for visit in self._visits:
            self.outcomes.update(visit.result())

    def _visit(self, number: int) -> Counter[int | str]:
        outcomes: Counter[int | str] = Counter()
        due = time.monotonic() + number / self.rate
        with client_of(self.server, f"visitor-{number}") as client:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                due += self.connections / self.rate
                try:
                    outcomes[self.ask(client)] += 1
                except httpx.TransportError as error:
                    outcomes[type(error).__name__] += 1
        return outcomes
