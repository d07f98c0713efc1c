"""One at a time, over all processes of this machine: a lock on a file, which falls with its process."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev import interruption
from dev.errors import DevError


@contextmanager
def alone(path: Path, timeout_s: float, refusal: str) -> Iterator[None]:
    """Waits for the lock on `path` for so many seconds. Raises DevError with `refusal`, Interrupted."""
    deadline = time.monotonic() + timeout_s
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DevError(refusal) from None
                interruption.sleep(0.1)
        yield
