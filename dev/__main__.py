"""`python -m dev run | up | down | status`: a whole Holdfast under one directory, .run/ of this checkout."""

import argparse
import os
import sys
from pathlib import Path

from dev import follow, interruption, seed, settings, welcome
from dev.errors import DevError, Interrupted
from dev.process import ROOT, Process
from dev.stack import Stack


def _say(line: str) -> None:
    _print(f"==> {line}")


def _print(text: str) -> None:
    """Print; a reader that has gone away (`make up | head`) does not stop the start."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _start(stack: Stack) -> None:
    stack.up()
    if seed.demo(stack.base_url, stack.settings["ADMIN_TOKEN"]):
        _say(f"{seed.EVENT} is on sale")
    _print(welcome.text(stack))


def _run(stack: Stack) -> int:
    """In the foreground: start, follow, and at Ctrl-C stop what was started here."""
    try:
        _start(stack)
        others = [process.name for process in stack.processes if process.running and process not in stack.started]
        if others:
            _say(f"Ctrl-C stops what this command started; {', '.join(others)} go on until `make down`")
        else:
            _say("Ctrl-C stops everything; the data stays")
        follow.follow([stack.web, stack.worker], stack.processes)
    except Interrupted:
        print(flush=True)
    finally:
        stack.stop_started()
    return 0


def _up(stack: Stack) -> int:
    """In the background."""
    try:
        _start(stack)
    except Interrupted:
        stack.stop_started()
        return 130
    return 0


def _down(stack: Stack) -> int:
    if not stack.down():
        _say("nothing was running")
    return 0


def _status(stack: Stack) -> int:
    """0 when the system is ready, 1 when it is not."""
    for process in reversed(stack.processes):
        print(f"{process.name:<10} {_state(process):<16} {process.log}")
    if stack.worker.running:
        print(f"{stack.worker.metrics_url} tells the worker's figures")
    ready = stack.web.running and stack.web.ready()
    print(f"{stack.base_url}/readyz answers 200" if ready else "not ready")
    return 0 if ready else 1


def _state(process: Process) -> str:
    return f"running, {process.pid}" if process.running else "not running"


def main() -> int:
    commands = {"run": _run, "up": _up, "down": _down, "status": _status}
    parser = argparse.ArgumentParser(prog="python -m dev", description=__doc__)
    parser.add_argument("command", choices=commands)
    parser.add_argument("--directory", type=Path, default=ROOT / ".run", help="of data, logs and env; default: .run")
    arguments = parser.parse_args()
    chosen = arguments.command
    interruption.install()
    stack = Stack(arguments.directory, settings.environment(), _say)
    try:
        return commands[chosen](stack)
    except Interrupted:
        return 130
    except DevError as error:
        print(f"make {chosen}: {error}", file=sys.stderr, flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
