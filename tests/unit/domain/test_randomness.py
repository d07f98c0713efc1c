"""Bytes that nobody else gets, whoever asks and from whichever process."""

import os
from concurrent.futures import ThreadPoolExecutor

from app.domain.randomness import BYTES, eight_bytes


def test_threads_never_get_the_same() -> None:
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: eight_bytes(), range(20_000)))
    assert len(set(taken)) == 20_000
    assert {len(one) for one in taken} == {BYTES}


def test_a_process_made_by_fork_does_not_get_what_its_parent_gets() -> None:
    eight_bytes()  # the parent has some in store
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, eight_bytes())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, BYTES) not in {eight_bytes() for _ in range(1000)}
    os.close(reading)
    os.close(writing)
