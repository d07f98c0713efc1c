"""Loopback ports, chosen once and remembered beside the server's data, so that addresses survive a restart."""

import random
import socket
import time
from pathlib import Path

from dev.errors import DevError

# Below every system's ephemeral range: a remembered port is not lost to some outgoing connection.
_FIRST, _LAST = 20_000, 32_000
_TRIES = 200
# The threads of a server that was killed may hold its port for a moment longer than the server is there.
_LET_GO_S = 2.0


def is_free(port: int) -> bool:
    """Is nobody listening on this port of 127.0.0.1?"""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: TIME_WAIT is no listener
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose() -> int:
    """A free port, at random: two checkouts that choose at the same moment hardly meet."""
    for _ in range(_TRIES):
        port = random.SystemRandom().randint(_FIRST, _LAST)
        if is_free(port):
            return port
    raise DevError(f"No free port between {_FIRST} and {_LAST} on 127.0.0.1.")


def remembered(file: Path) -> int | None:
    """The port in the file; None when there is none yet."""
    try:
        return int(file.read_text())
    except (FileNotFoundError, ValueError):
        return None


def settle(file: Path) -> int:
    """The remembered port if it is free, or soon is; else a new one, which is remembered."""
    port = remembered(file)
    if port is None or not _is_let_go(port):
        port = choose()
        file.write_text(f"{port}\n")
    return port


def _is_let_go(port: int) -> bool:
    deadline = time.monotonic() + _LET_GO_S
    while not (free := is_free(port)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return free
