"""`python -m tests.support.dying_rebuilder SHARD LINE before|after SIGKILL|SIGSTOP`: rebuilds a shard, and dies or
hangs at that line of it."""

import os
import signal
import sys
from typing import Any, Final

from app.settings import Settings
from app.stores.rebuilding import PostgresRebuilding, RedisRebuilding
from app.stores.recorder import PostgresRecorder
from app.wiring import build_worker

LINES: Final[dict[str, type]] = {
    "freeze": RedisRebuilding,
    "survivors": RedisRebuilding,
    "record": PostgresRecorder,
    "highest_epoch": RedisRebuilding,
    "shard_image": PostgresRebuilding,
    "install": RedisRebuilding,
    "flip": RedisRebuilding,
}


def main(shard: str, line: str, when: str, signal_name: str) -> None:
    call = getattr(LINES[line], line)

    def dies(*arguments: Any) -> Any:
        if when == "before":
            os.kill(os.getpid(), signal.Signals[signal_name])
        answer = call(*arguments)
        if when == "after":
            os.kill(os.getpid(), signal.Signals[signal_name])
        return answer

    setattr(LINES[line], line, dies)
    wiring = build_worker(Settings.from_environment())
    wiring.start()
    wiring.rebuild()(int(shard))


if __name__ == "__main__":
    main(*sys.argv[1:])
