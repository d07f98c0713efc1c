"""What can go wrong here: every message says what to look at."""

from pathlib import Path

_TAIL_BYTES = 20_000
_TAIL_LINES = 15


class DevError(Exception):
    """Something that the person at the keyboard has to know; printed without a traceback."""


class Interrupted(DevError):
    """Ctrl-C or SIGTERM arrived while something was being waited for."""


class ProcessFailed(DevError):
    """A process ended, or did not become ready in time."""


class StepFailed(DevError):
    """A command that should have run to its end failed or took too long."""


def with_tail(message: str, log: Path) -> str:
    """The message, and the last lines of the log that explain it."""
    try:
        lines = log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").splitlines()[-_TAIL_LINES:]
    except FileNotFoundError:
        return message
    return "\n".join([f"{message} The end of {log}:", *(f"    {line}" for line in lines)])
