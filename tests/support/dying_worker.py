"""`python -m tests.support.dying_worker WHERE loops...`: a worker that is killed at one line of its work."""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

from kafka import TopicPartition

from app.stores import recorder
from app.stores.recorder import PostgresRecorder
from dev.worker import Worker
from worker import consumer

_WITHIN_S = 0.5


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
    """Postgres is at it, and commits when nobody waits for its answer any more."""
    record = PostgresRecorder.record

    def dies(it: PostgresRecorder, entries: Sequence[Any]) -> None:
        threading.Timer(_WITHIN_S, _die).start()
        record(it, entries)

    recorder._RECORD += f", pg_sleep({3 * _WITHIN_S})"  # type: ignore[misc]
    PostgresRecorder.record = dies  # type: ignore[method-assign]


def with_offsets_first() -> None:
    """The control: a consumer that marks first what it is about to do."""
    work = consumer._Life._work

    def marks_first(life: Any, records: Sequence[Any]) -> None:
        for record in records:
            life._uncommitted[TopicPartition(record.topic, record.partition)] = record.offset + 1
        life._commit()
        work(life, records)

    def dies(recorder: PostgresRecorder, entries: Sequence[Any]) -> None:
        _die()

    consumer._Life._work = marks_first  # type: ignore[method-assign]
    PostgresRecorder.record = dies  # type: ignore[method-assign]


if __name__ == "__main__":
    from worker.__main__ import main  # its metrics clash with those of the web process, in the tests' own process

    where, *loops = sys.argv[1:]
    {"after": after_the_commit, "within": within_the_batch, "offsets-first": with_offsets_first}[where]()
    sys.exit(main(loops))
