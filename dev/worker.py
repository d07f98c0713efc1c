"""The worker process: relay, consumer and sweeper, or some of them."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dev.process import Process


class Worker(Process):
    """`python -m worker [roles...]`; all roles when none is named."""

    name = "worker"

    def __init__(self, directory: Path, settings: Mapping[str, str], roles: Sequence[str] = ()) -> None:
        super().__init__(directory)
        self.settings = settings
        self.roles = tuple(roles)

    def command(self) -> list[str]:
        return [sys.executable, "-m", "worker", *self.roles]

    def environment(self) -> dict[str, str]:
        return dict(self.settings)
