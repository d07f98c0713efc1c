"""A bare Redis with one open shard: what the scripts cost there, with nobody else about.

The processor time is that of the server process; two scripts are compared in one run, by turns. Every call is what
Holdfast sends: the script by its SHA, the same KEYS and ARGV. `redis-benchmark` asks over 64 connections, one call each
at a time, which is what a call costs at worst; `pipelined` asks as the web process does under load, many in one flush.
"""

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, cast

import hiredis
import redis

from app.domain import idempotency, ids
from app.stores import keys
from app.stores.scripts import names, script
from dev import interruption
from dev.redis import Redis

EMPTY: Final = 'return {"OK"}'
RAND: Final = "__rand_int__"
"""redis-benchmark writes a random number of twelve digits in its place, another at each place."""
EVENT: Final = "event-of-the-lab"
PRICE: Final = 15_000
_PER_FLUSH: Final = 32
_EPOCH: Final = 1
_PATIENCE_S: Final = 120.0
_pack: Final[Callable[[tuple[str | bytes, ...]], bytes]] = cast(Any, hiredis.pack_command)  # typed for one word only


class Lab:
    """Use it as a context manager. `shard` is that of `EVENT`, open at epoch 1."""

    def __init__(self, directory: Path) -> None:
        self._server = Redis(directory, {"enable-debug-command": "local"})
        self.shard = ids.shard_of_event(EVENT, 16)
        self.key = f"{{{self.shard:02}}}:epoch"

    def __enter__(self) -> "Lab":
        self._server.start()
        self._server.wait_until_ready()
        self.redis: Any = redis.Redis.from_url(self._server.url, decode_responses=True, socket_timeout=60)
        self.empty()
        return self

    def __exit__(self, *_: object) -> None:
        self.redis.close()
        self._server.erase()

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def head(self) -> str:
        return keys.head(_EPOCH, self._run_id)

    def empty(self) -> None:
        """Nothing but an open shard; every script loaded."""
        self.redis.flushall()
        self._run_id = self.redis.info("server")["run_id"]
        self.redis.set(self.key, self.head)
        self._empty_sha = self.redis.script_load(EMPTY)
        for name in names():
            self.redis.script_load(script(name).text)

    def open_zones(self, names: Sequence[str], capacity: int = 2**31 - 1) -> None:
        facts = [
            {
                "event_id": EVENT,
                "zone_id": name,
                "capacity": capacity,
                "confirmed": 0,
                "price": PRICE,
                "currency": "THB",
                "digits": 2,
                "opens": 0,
                "closes": 0,
                "hold_ms": 600_000,
                "hold_max_ms": 1_800_000,
                "per_user": 10,
                "per_reservation": 10,
                "version": 1,
                "ceiling_done": 0,
            }
            for name in names
        ]
        for at in range(0, len(facts), 500):
            self.run("learn", json.dumps({"zones": facts[at : at + 500], "users": []}))

    def run(self, name: str, *arguments: str | int) -> Any:
        """One script, outside any measurement."""
        return self.redis.eval(script(name).text, 1, self.key, self.head, "", *arguments)

    def call(self, name: str, *arguments: str | int | bytes, empty: bool = False) -> list[str | bytes]:
        """The words of one call; of the empty script with the same keys where that is asked for."""
        sha = self._empty_sha if empty else script(name).sha
        words = (one if isinstance(one, bytes) else str(one) for one in arguments)
        return ["EVALSHA", sha, "1", self.key, self.head, "", *words]

    def reserve(self, zone: str = "A", number: str = RAND) -> list[str | int | bytes]:
        """The arguments of a reserve under a key; a fresh buyer each where `number` is left out."""
        return [
            *(self.booking(number), EVENT, zone, f"buyer-{number}", 1, ""),
            *(b"a digest", f"key-of-the-buyer-{number}", b"of sixteen bytes", idempotency.KEPT_MS, 2**31 - 1),
        ]

    def booking(self, number: str) -> bytes:
        """An id as Redis keeps it; no byte of it is zero, for it may stand on a command line."""
        return b"\x01\x98\xf3\xa2" + number.encode()

    def trim(self) -> None:
        """The outbox as the relay leaves it."""
        self.redis.xtrim(f"{{{self.shard:02}}}:outbox", maxlen=0, approximate=False)

    def come_to_rest(self) -> None:
        """Until Redis neither writes its file anew nor moves its keys to a table twice as large: for a while either
        makes every call dearer, and only now and then. Raises `RuntimeError` when it does not end."""
        deadline = time.monotonic() + _PATIENCE_S
        self.redis.config_set("hz", 500)  # it moves for a millisecond each time
        while self._is_busy():
            if time.monotonic() > deadline:
                raise RuntimeError("the lab's Redis does not come to rest")
            interruption.sleep(0.2)
        self.redis.config_set("hz", 10)

    def _is_busy(self) -> bool:
        file = self.redis.info("persistence")
        rewriting = file["aof_rewrite_in_progress"] or file["aof_rewrite_scheduled"]
        return bool(rewriting) or "rehashing target" in self.redis.execute_command("DEBUG", "HTSTATS", 0)

    def memory(self) -> int:
        """Bytes in use, with nothing waiting in the outbox."""
        self.trim()
        return int(self.redis.info("memory")["used_memory"])

    def benchmark(self, words: Sequence[str | bytes], calls: int) -> float:
        """Processor time of Redis per call, µs, asked by redis-benchmark. Raises `RuntimeError` when calls fail."""
        port = str(self._server.port)
        options = ["-p", port, "-c", "64", "-n", str(calls), "-r", "2000000000", "-q"]
        command = ["redis-benchmark", *options, *words]
        before = self._used()
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=300)
        after = self._used()
        if done.returncode or "rror" in done.stdout + done.stderr:
            raise RuntimeError(f"redis-benchmark failed: {done.stdout[-300:]}{done.stderr[-300:]}")
        return (after - before) * 1e6 / calls

    def pipelined(self, calls: Iterable[Sequence[str | bytes]], expects: Sequence[str] = ("OK",)) -> float:
        """The same of these calls, `_PER_FLUSH` in one flush. Raises `RuntimeError` for another first word."""
        reader, count = hiredis.Reader(encoding="utf-8"), 0
        with socket.create_connection(("127.0.0.1", self._server.port), timeout=30) as server:
            before = self._used()
            interruption.sleep(0)
            for flush in _chunks([_pack(tuple(words)) for words in calls], _PER_FLUSH):
                server.sendall(b"".join(flush))
                for _ in flush:
                    while (reply := reader.gets()) is False:
                        reader.feed(server.recv(65536))
                    if isinstance(reply, Exception) or reply[0] not in expects:
                        raise RuntimeError(f"the lab's Redis answered {reply!r}")
                count += len(flush)
            return (self._used() - before) * 1e6 / count

    def _used(self) -> float:
        """User and system time, seconds; getrusage counts in µs, /proc in hundredths of a second."""
        told = self.redis.info("cpu")
        return float(told["used_cpu_user"] + told["used_cpu_sys"])


def _chunks(items: list[bytes], size: int) -> Iterable[list[bytes]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]
