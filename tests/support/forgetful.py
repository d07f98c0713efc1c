"""What a real Redis may do to its memory: lose all of it, lose its last moments, or take over knowing less."""

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import redis

from dev.redis import Redis


def empty(server: Redis) -> None:
    """FLUSHALL: the process lives on."""
    with redis.Redis.from_url(server.url) as client:
        client.flushall()


def restart_without_its_file(server: Redis) -> None:
    """SIGKILL, and a start on an empty directory."""
    server.kill()
    shutil.rmtree(server.data)
    _start(server)


def file_size(server: Redis) -> int:
    """Bytes of the append-only file, to cut it there later. With `appendfsync always` what was answered is in it."""
    return _file(server).stat().st_size


def restart_cut_off(server: Redis, at_byte: int) -> None:
    """SIGKILL, and a start on an append-only file that ends at a byte, in the middle of a command if need be."""
    server.kill()
    with _file(server).open("r+b") as file:
        file.truncate(at_byte)
    _start(server)


def rewrite_file(server: Redis) -> None:
    """Makes the file hold what is there, and not all that ever happened; it is then loaded key by key."""
    with redis.Redis.from_url(server.url) as client:
        client.bgrewriteaof()
        wait(lambda: not _is_rewriting(client.info("persistence")))


def _is_rewriting(told: Mapping[str, Any]) -> bool:
    return bool(told["aof_rewrite_in_progress"] or told["aof_rewrite_scheduled"])


def follow(replica: Redis, master: Redis) -> None:
    """Makes it a replica that has all that the master has now."""
    with redis.Redis.from_url(replica.url) as client, redis.Redis.from_url(master.url) as of:
        client.replicaof("127.0.0.1", str(master.port))
        wait(lambda: client.info("replication").get("master_link_status") == "up")
        of.wait(1, 5000)


def promote(replica: Redis) -> None:
    """Whatever it has, it is the master."""
    with redis.Redis.from_url(replica.url) as client:
        client.replicaof("NO", "ONE")


def wait(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)


def _start(server: Redis) -> None:
    server.start()
    server.wait_until_ready()


def _file(server: Redis) -> Path:
    (path,) = (server.data / "appendonlydir").glob("*.incr.aof")
    return path
