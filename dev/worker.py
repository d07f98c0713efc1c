"""The worker process: relay, consumer and sweeper, or some of them."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dev import ports
from dev.process import Process


class Worker(Process):
    """`python -m worker [roles...]`; all roles when none is named."""

    name = "worker"

    def __init__(self, directory: Path, settings: Mapping[str, str], roles: Sequence[str] = ()) -> None:
        super().__init__(directory)
        self.settings = settings
        self.roles = tuple(roles)

    @property
    def metrics_url(self) -> str | None:
        """Where it answers Prometheus; None before the first start."""
        bind = self.settings.get("WORKER_METRICS_BIND") or self.running_environment().get("WORKER_METRICS_BIND")
        port = ports.remembered(self.directory / "metrics-port")
        return f"http://{bind or f'127.0.0.1:{port}'}/metrics" if bind or port else None

    def prepare(self) -> None:
        if not self.settings.get("WORKER_METRICS_BIND"):
            ports.settle(self.directory / "metrics-port")

    def command(self) -> list[str]:
        return [sys.executable, "-m", "worker", *self.roles]

    def environment(self) -> dict[str, str]:
        bind = f"127.0.0.1:{ports.remembered(self.directory / 'metrics-port')}"
        return {"WORKER_METRICS_BIND": bind, **self.settings}
