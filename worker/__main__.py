"""`python -m worker` runs every loop; `python -m worker relay sweeper` only those named."""

import logging
import os
import signal
import sys
import threading
from types import FrameType

from app.observability import configure_logging
from app.settings import BadSetting, Settings
from app.wiring import build_worker
from worker.process import LOOPS, Worker

log = logging.getLogger("worker")


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
    configure_logging(settings.log_level, settings.log_format, settings.secrets())
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # whoever asks twice means it
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    wiring = build_worker(settings)
    wiring.start()
    log.info("worker runs: %s", ", ".join(loop for loop in LOOPS if loop in loops))
    worker = Worker(wiring, loops, stop)
    worker.wait()
    if not worker.end():
        # Pools and producers would wait for the threads that wait: nothing of it is worth keeping.
        logging.shutdown()
        os._exit(0)
    wiring.close()
    log.info("worker ended")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
