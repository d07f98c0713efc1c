"""`python -m tests.support.altered_worker NAME OLD NEW loops...`: the worker, with one script altered. For controls."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dev.worker import Worker
from tests.support.controls import altered_script, altered_text


class AlteredWorker(Worker):
    """A worker process with (script, old, new)."""

    def __init__(
        self, directory: Path, settings: Mapping[str, str], roles: Sequence[str], altered: tuple[str, str, str]
    ) -> None:
        super().__init__(directory, settings, roles)
        altered_text(*altered)  # fails here, not in a process that nobody looks at
        self.altered = altered

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.support.altered_worker", *self.altered, *self.roles]


if __name__ == "__main__":
    from worker.__main__ import main  # its metrics clash with those of the web process, in the tests' own process

    name, old, new, *loops = sys.argv[1:]
    with altered_script(name, old, new):
        sys.exit(main(loops))
