"""Whatever is sent, our worker does what gunicorn's does: same answers, same end of the connection, same requests seen.

All of it whole; some of it twice, between plain requests, and byte by byte. Split at every byte: in tests/faults."""

import os
import re
from collections.abc import Callable, Iterator

import pytest

from serving import connection, plain
from tests.support.controls import goes_red
from tests.support.odd_requests import HIDDEN, PLAIN, by_chance, by_hand, get, post
from tests.support.two_workers import Workers

BY_CHANCE = 2_500


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    workers = Workers()
    yield workers
    workers.close()


def told(workers: Workers, what: str) -> None:
    print(f"{what}: {workers.conversations} conversations; {workers.ours.answered} requests took the shorter way")


def test_requests_by_hand(workers: Workers) -> None:
    for name, data in by_hand().items():
        workers.compare(name, [data])
        workers.compare(f"{name}, twice", [data + data])
        workers.compare(f"{name}, between two plain ones", [PLAIN + data + PLAIN])
    told(workers, "by hand")
    assert workers.ours.answered > workers.conversations / 3, "many went the shorter way: it was compared as well"


def test_some_of_them_byte_by_byte(workers: Workers) -> None:
    for name, data in list(by_hand().items())[::7]:
        workers.compare(f"{name}, byte by byte", [data[n : n + 1] for n in range(len(data[:300]))])


def test_requests_by_chance(workers: Workers) -> None:
    seed = int(os.environ.get("SEED") or 1)  # how many are plain depends on it: others are for SEED and make faults
    print(f"SEED={seed}")
    before = workers.ours.answered
    for name, data in by_chance(seed, BY_CHANCE):
        workers.compare(name, [data])
    told(workers, "by chance")
    assert workers.ours.answered - before > BY_CHANCE / 3


def chunked_bodies(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(plain, "KEYS", type(plain.KEYS)())
    patch.setattr(plain, "_NOT_PLAIN", plain._NOT_PLAIN - {b"TRANSFER-ENCODING"})


def fields_that_come_twice(patch: pytest.MonkeyPatch) -> None:
    def take_the_last(request: plain.PlainRequest, name: bytes, value: bytes) -> None:
        request.environ[str(plain.KEYS[name])] = str(value, "ascii")

    patch.setattr(plain.PlainRequest, "on_header", take_the_last)


def underscores(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(connection, "PLAIN", re.compile(plain.PLAIN.pattern.replace(rb"^`", rb"^_`")))


def heads_that_never_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(connection, "SO_FAR", re.compile(rb"(?s:.*)"))


def expectations(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(plain, "KEYS", type(plain.KEYS)())
    patch.setattr(plain, "_NOT_PLAIN", plain._NOT_PLAIN - {b"EXPECT"})


@pytest.mark.parametrize(
    ("admit", "data", "differs"),
    [
        (
            chunked_bodies,
            post(b"Transfer-Encoding: chunked\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)),
            "answers",
        ),
        (fields_that_come_twice, get(fields=b"X-User-ID: ann\r\nX-User-ID: eve\r\n"), "requests"),
        (underscores, get(fields=b"X_User_ID: eve\r\n"), "requests"),
        (heads_that_never_end, b"GET / HTTP/1.1\nHost: holdfast\n\n", "answers"),
        (expectations, post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello"), "answers"),
    ],
)
def test_control_with_one_rule_less_it_goes_red(
    workers: Workers, admit: Callable[[pytest.MonkeyPatch], None], data: bytes, differs: str
) -> None:
    workers.compare("with all rules", [data])
    with pytest.MonkeyPatch.context() as patch, goes_red(f"one rule less: {differs} differ"):
        admit(patch)
        workers.compare("one rule less", [data])
