"""A payment provider of our own: a real HTTP server with a ledger that survives it. For tests and `make run`."""

import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from dev import ports
from dev.errors import DevError
from dev.process import Process


@dataclass(frozen=True)
class Attempt:
    """What the provider's ledger has of one attempt."""

    attempt_id: str
    payment_id: str
    booking_id: str
    amount_minor: int
    state: str


class Provider(Process):
    """The server of dev/provider_server.py. `settings`: PROVIDER_KNOWN_AFTER_S, PROVIDER_LATEST_AFTER_S,
    PROVIDER_HANGS_S, PROVIDER_TOKEN, PROVIDER_WEBHOOK_URL, PROVIDER_WEBHOOK_SECRET; it has a default for each."""

    name = "provider"

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(directory)
        self.settings = settings or {}

    @property
    def url(self) -> str:
        """Raises DevError before the first start."""
        port = ports.remembered(self.directory / "port")
        if port is None:
            raise DevError(f"The provider was never started in {self.directory}.")
        return f"http://127.0.0.1:{port}"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "dev.provider_server", str(self._ledger), self.url.rpartition(":")[2]]

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **self.settings}

    def prepare(self) -> None:
        ports.settle(self.directory / "port")

    def ready(self) -> bool:
        return not ports.is_free(int(self.url.rpartition(":")[2]))

    def attempts(self) -> list[Attempt]:
        """Its whole ledger, in the order of first calls. It need not run."""
        with closing(sqlite3.connect(self._ledger, timeout=10)) as ledger:
            rows = ledger.execute(
                "SELECT attempt_id, payment_id, booking_id, amount_minor, state FROM attempts ORDER BY rowid"
            ).fetchall()
        return [Attempt(*row) for row in rows]

    @property
    def _ledger(self) -> Path:
        return self.directory / "ledger.sqlite"
