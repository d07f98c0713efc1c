"""Our worker and gunicorn's compared at length: every request by hand split at every byte, and many by chance.

Some minutes. `SEED=7 make faults ARGS="-k every_split"` repeats the choices."""

import os
import random
import time
from collections.abc import Iterator

import pytest

from tests.support.odd_requests import PLAIN, by_chance, by_hand
from tests.support.two_workers import Workers

BY_CHANCE = 10_000
_WHOLE_BYTES = 500
"""A longer request is split at fewer places: what fills it is all the same."""


@pytest.fixture
def workers() -> Iterator[Workers]:
    workers = Workers()
    yield workers
    workers.close()
    print(f"{workers.conversations} conversations; {workers.ours.answered} requests took the shorter way")


@pytest.mark.timeout(900)
def test_every_split_of_every_request_by_hand_is_taken_as_gunicorn_takes_it(workers: Workers) -> None:
    for name, data in by_hand().items():
        step = 1 if len(data) <= _WHOLE_BYTES else 97
        for place in range(1, len(data), step):
            workers.compare(f"{name}, split at {place}", [data[:place], data[place:]])


@pytest.mark.timeout(900)
def test_every_split_of_pipelined_requests_is_taken_as_gunicorn_takes_it(workers: Workers) -> None:
    chance = random.Random(1)
    for name, data in by_hand().items():
        between = PLAIN + data + PLAIN
        if len(data) > _WHOLE_BYTES:
            continue
        for place in chance.sample(range(1, len(between)), 20):
            workers.compare(f"{name}, between two plain ones, split at {place}", [between[:place], between[place:]])
        workers.compare(f"{name}, byte by byte", [data[n : n + 1] for n in range(len(data))])


@pytest.mark.timeout(900)
def test_requests_by_chance_in_three_parts_are_taken_as_gunicorn_takes_them(workers: Workers) -> None:
    seed = int(os.environ.get("SEED") or time.time())
    print(f"SEED={seed}")
    chance = random.Random(seed)
    for name, data in by_chance(seed, BY_CHANCE):
        first, second = sorted(chance.choices(range(len(data) + 1), k=2))
        workers.compare(name, [data])
        parts = [part for part in (data[:first], data[first:second], data[second:]) if part]
        workers.compare(f"{name}, in parts", parts)
