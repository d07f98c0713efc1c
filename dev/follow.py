"""What the processes write, as they write it."""

from pathlib import Path

from dev import interruption
from dev.process import Process

_POLL_S = 0.3
_CHUNK_BYTES = 65_536


class _Tail:
    """The lines that are added to a file from now on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset = self._size()
        self._rest = b""

    def _size(self) -> int:
        return self._file.stat().st_size if self._file.exists() else 0

    def lines(self) -> list[str]:
        if self._size() < self._offset:  # cut
            self._offset = 0
        if not self._file.exists():
            return []
        with self._file.open("rb") as file:
            file.seek(self._offset)
            added = file.read(_CHUNK_BYTES)
        self._offset += len(added)
        *whole, self._rest = (self._rest + added).split(b"\n")
        return [line.decode(errors="replace") for line in whole]


def follow(shown: list[Process], watched: list[Process]) -> None:
    """Print what is written to the logs of `shown`, and say when one of `watched` ends.

    Returns when all of them have ended (`make down` elsewhere), raises Interrupted on Ctrl-C.
    """
    tails = {process.name: _Tail(process.log) for process in shown}
    alive = {process.name for process in watched if process.running}
    while alive:
        for name, tail in tails.items():
            for line in tail.lines():
                print(f"{name:>6} | {line}", flush=True)
        for process in watched:
            if process.name in alive and not process.running:
                alive.discard(process.name)
                print(f"{process.name} has ended; its log is {process.log}; `make up` starts it again.", flush=True)
            elif process.name not in alive and process.running:
                alive.add(process.name)
        interruption.sleep(_POLL_S)
