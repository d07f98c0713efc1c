"""`python -m worker` runs every loop; `python -m worker relay sweeper` only those named."""

import ctypes
import logging
import os
import signal
import sys
import threading
from typing import Final

from app.observability import configure_logging
from app.settings import BadSetting, Settings
from app.wiring import build_worker
from worker import metrics
from worker.process import LOOPS, Worker

log = logging.getLogger("worker")

# Whoever stops us waits five seconds.
DEADLINE_SECONDS: Final = 4.5
M_ARENA_MAX: Final = -8
"""Of <malloc.h>."""


def main(arguments: list[str]) -> int:
    loops = set(arguments) or set(LOOPS)
    if unknown := loops - set(LOOPS):
        print(f"python -m worker [{'] ['.join(LOOPS)}]: there is no {', '.join(sorted(unknown))}.", file=sys.stderr)
        return 2
    try:
        settings = Settings.from_environment()
    except BadSetting as bad:
        print(bad, file=sys.stderr)
        return 1
    _share_one_heap()
    os.nice(max(0, settings.worker_nice - os.nice(0)))  # before there is any other thread: each has its own
    stop = _stop_on_signal()
    configure_logging(settings.log_level, settings.log_format, settings.secrets())
    wiring = build_worker(settings, (metrics.observe_breaker, metrics.observe_rebuild, metrics.observe_script_failed))
    wiring.start()
    log.info("worker runs: %s", ", ".join(loop for loop in LOOPS if loop in loops))
    worker = Worker(wiring, loops, stop)
    if settings.worker_metrics_bind:
        try:
            metrics.serve(settings.worker_metrics_bind, worker.figures())
        except OSError as error:
            print(f"WORKER_METRICS_BIND cannot be listened at: {error}.", file=sys.stderr)
            return 1
    worker.wait()
    worker.end()
    wiring.close()
    log.info("worker ended")
    return 0


def _share_one_heap() -> None:
    """glibc gives threads heaps of their own, up to eight for each core, and each keeps the most that its threads have
    ever needed at once: a tenth more memory after a million reservations. Threads that take turns at the interpreter
    need one. Before there is any other thread; elsewhere than on glibc there is nothing to set (mallopt(3))."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_ARENA_MAX, 1)


def _stop_on_signal() -> threading.Event:
    """An event that SIGTERM or SIGINT sets; soon afterwards, or at a second signal, the process ends whatever it does.

    A thread waits for the signals, and no handler interrupts the main thread, which may be waiting for a server that
    does not answer. What hangs then is not worth waiting for: the next worker does it again."""
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before there is any other thread: they all inherit it
    stop = threading.Event()

    def watch() -> None:
        signal.sigwait(signals)
        stop.set()
        signal.sigtimedwait(signals, DEADLINE_SECONDS)
        logging.shutdown()
        os._exit(0)

    threading.Thread(target=watch, name="signals", daemon=True).start()
    return stop


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
