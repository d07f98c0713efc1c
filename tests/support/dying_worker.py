"""`python -m tests.support.dying_worker WHERE loops...`: a worker that is killed at one line of its work."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from app.stores.recorder import PostgresRecorder
from dev.worker import Worker
from worker import consumer


class DyingWorker(Worker):
    """The first of `roles` is where it dies."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.support.dying_worker", *self.roles]


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def after_the_commit() -> None:
    """Postgres has the batch, Kafka does not know."""
    record = PostgresRecorder.record

    def dies(recorder: PostgresRecorder, entries: Sequence[Any]) -> None:
        record(recorder, entries)
        _die()

    PostgresRecorder.record = dies  # type: ignore[method-assign]


def within_the_batch() -> None:
    """Postgres has the beginnings of a batch, and not yet their ends."""
    call: Callable[..., None] = PostgresRecorder._call

    def dies(recorder: PostgresRecorder, *arguments: Any) -> None:
        call(recorder, *arguments)
        _die()

    PostgresRecorder._call = dies  # type: ignore[method-assign]


def with_offsets_first() -> None:
    """The control: a consumer that marks first what it is about to do."""
    work = consumer._Life._work

    def marks_first(life: Any, partition: Any, records: Sequence[Any]) -> None:
        life._uncommitted[partition] = records[-1].offset + 1
        life._commit()
        work(life, partition, records)

    def dies(recorder: PostgresRecorder, entries: Sequence[Any]) -> None:
        _die()

    consumer._Life._work = marks_first  # type: ignore[method-assign]
    PostgresRecorder.record = dies  # type: ignore[method-assign]


if __name__ == "__main__":
    from worker.__main__ import main  # its metrics clash with those of the web process, in the tests' own process

    where, *loops = sys.argv[1:]
    {"after": after_the_commit, "within": within_the_batch, "offsets-first": with_offsets_first}[where]()
    sys.exit(main(loops))
