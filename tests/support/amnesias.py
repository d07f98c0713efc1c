"""Ways in which a Redis under load may lose what it knew, or may not be asked for a while; each heals by itself, or is
healed as an operator would."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest
import redis

from app.domain.ids import shard_of_event
from dev.redis import Redis
from tests.support import forgetful
from tests.support.buyers import until
from tests.support.edits import by_hand
from tests.support.promises import Loss
from tests.support.system import System

AWAY_SECONDS: Final = float(os.environ.get("AWAY_SECONDS", "20"))
"""For the one case in which Redis is gone for long. Five minutes: `AWAY_SECONDS=300`."""
NOT_NOW_SECONDS: Final = 2.0
LAST_SECONDS: Final = 1.0
NOTICED_WITHIN_S: Final = 40.0
SLACK_S: Final = 0.5
"""What a record's time may be before it was in the log."""

Strike = Callable[[System, list[str]], None]
"""What is done to a system, and undone: when it returns, Redis is there. It is told the events on sale."""


@dataclass(frozen=True)
class Amnesia:
    """One way to forget. `loses`: Redis may come back with less than it knew."""

    died: str
    came_back: str
    strike: Strike
    loses: bool = True

    @property
    def name(self) -> str:
        return f"{self.died}: {self.came_back}"

    def __call__(self, system: System, events: list[str]) -> Loss:
        began = time.time()
        self.strike(system, events)
        return Loss(began - SLACK_S if self.loses else float("inf"), time.time())


@contextmanager
def _client(system: System) -> Iterator["redis.Redis[Any]"]:
    with redis.Redis.from_url(system.stack.redis.url, decode_responses=True) as client:
        yield client


def _emptied(system: System, events: list[str]) -> None:
    forgetful.empty(system.stack.redis)


def _without_its_file(system: System, events: list[str]) -> None:
    forgetful.restart_without_its_file(system.stack.redis)


def _cut_off(system: System, events: list[str]) -> None:
    before = forgetful.file_size(system.stack.redis)
    time.sleep(LAST_SECONDS)
    forgetful.restart_cut_off(system.stack.redis, before)


def _killed(system: System, events: list[str]) -> None:
    server = system.stack.redis
    server.kill()
    server.start()
    server.wait_until_ready(60)


def _gone(system: System, events: list[str]) -> None:
    server = system.stack.redis
    server.kill()
    time.sleep(AWAY_SECONDS)
    server.start()
    server.wait_until_ready(60)


def _while_rebuilding(system: System, then: Callable[[], object]) -> None:
    """`then` is called when the first shard is frozen for its rebuild; or open again, where that took a moment."""
    with _client(system) as client:
        forgetful.wait(lambda: next(client.scan_iter("{*}:[ef]*", 1000), None))
        then()


def _emptied_twice(system: System, events: list[str]) -> None:
    forgetful.empty(system.stack.redis)
    for _ in range(2):
        _while_rebuilding(system, lambda: forgetful.empty(system.stack.redis))


def _emptied_and_the_rebuilder_killed(system: System, events: list[str]) -> None:
    forgetful.empty(system.stack.redis)
    _while_rebuilding(system, system.stack.worker.kill)


def _without_kafka(system: System, events: list[str]) -> None:
    system.stack.kafka.kill()
    time.sleep(1)
    forgetful.empty(system.stack.redis)


def _scripts_flushed(system: System, events: list[str]) -> None:
    with _client(system) as client:
        client.script_flush()


def _read_only(system: System, events: list[str]) -> None:
    with _client(system) as client:
        client.replicaof("127.0.0.1", "1")  # nobody is there: it keeps what it has
        time.sleep(NOT_NOW_SECONDS)
        client.replicaof("NO", "ONE")


def _full(system: System, events: list[str]) -> None:
    with _client(system) as client:
        client.config_set("maxmemory", "1mb")
        time.sleep(NOT_NOW_SECONDS)
        client.config_set("maxmemory", "0")


def _busy(system: System, events: list[str]) -> None:
    with _client(system) as client, _client(system) as other:
        client.config_set("busy-reply-threshold", "100")
        busy = threading.Thread(target=lambda: _suffer(client))
        busy.start()
        time.sleep(NOT_NOW_SECONDS)
        other.script_kill()
        busy.join()


def _suffer(client: "redis.Redis[Any]") -> None:
    with pytest.raises(redis.ResponseError, match=r"[Kk]illed"):
        client.eval("while true do end", 0)


def _loading(system: System, events: list[str]) -> None:
    server = system.stack.redis
    with _client(system) as client, client.pipeline() as pipe:
        for number in range(2000):
            pipe.set(f"ballast:{number}", "x" * 1000)
        pipe.execute()
    forgetful.rewrite_file(server)
    server.kill()
    slow = Redis(server.directory, {"key-load-delay": "1000", "loading-process-events-interval-bytes": "1024"})
    slow.start()
    slow.wait_until_ready(60)
    with _client(system) as client:
        client.delete(*(f"ballast:{number}" for number in range(2000)))


def _edited(command: str, key: str, *rest: Any) -> Strike:
    """By hand, past every script; the event's first in the list."""

    def strike(system: System, events: list[str]) -> None:
        shop = system.shop
        shard = shard_of_event(events[0], len(shop.shards))

        def damaged() -> int:
            """The epoch; 0 while there is nothing to be damaged."""
            epoch = shop.ledger.epochs()[shard]
            name = f"{{{shard:02}}}:{epoch}:{key.format(events[0])}"
            with _client(system) as client:
                return epoch if client.exists(name) and by_hand(client.execute_command, command, name, *rest) else 0

        epoch = until(damaged, NOTICED_WITHIN_S, "there is something to be damaged")
        until(lambda: shop.ledger.epochs()[shard] > epoch, NOTICED_WITHIN_S, "it is noticed")

    return strike


FORGETS: Final = (
    Amnesia("FLUSHALL", "empty", _emptied),
    Amnesia("kill -9, the file deleted", "empty", _without_its_file),
    Amnesia("kill -9, the file cut", "without its last second", _cut_off),
    Amnesia("kill -9", "with what was in its file", _killed),
    Amnesia("FLUSHALL, twice more during the rebuild", "empty", _emptied_twice),
    Amnesia("FLUSHALL, and the rebuilding worker killed", "empty, no worker", _emptied_and_the_rebuilder_killed),
    Amnesia("Kafka, then FLUSHALL", "empty, no Kafka", _without_kafka),
    Amnesia("a zone's key deleted", "without the zone", _edited("DEL", "zone:{}/A")),
    Amnesia("a zone's counts deleted", "without them", _edited("DEL", "counts:{}/A")),
    Amnesia("a zone's deadlines deleted", "without them", _edited("DEL", "deadlines:{}/A")),
    Amnesia("a counter edited", "with 7 seats more held", _edited("EDIT", "counts:{}/A", {"held": "+7"})),
)
NOT_NOW: Final = (
    Amnesia("SCRIPT FLUSH", "without scripts", _scripts_flushed, loses=False),
    Amnesia("READONLY for 2 s", "as it was", _read_only, loses=False),
    Amnesia("OOM for 2 s", "as it was", _full, loses=False),
    Amnesia("BUSY for 2 s", "as it was", _busy, loses=False),
    Amnesia("kill -9, LOADING for seconds", "with what was in its file", _loading),
    Amnesia(f"gone for {AWAY_SECONDS:.0f} s", "with what was in its file", _gone),
)
