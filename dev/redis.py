"""A real Redis of our own, on loopback only, configured as production is: append-only file, never evicting."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import redis

from dev import ports
from dev.errors import DevError
from dev.process import Process

_PROBE_TIMEOUT_S = 2.0
SETTINGS = {
    "bind": "127.0.0.1",
    "protected-mode": "yes",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "maxmemory-policy": "noeviction",  # a full Redis refuses; it must never forget a reservation
    "save": "",  # the append-only file is enough
    # To write the file anew takes a core for seconds: not in a sale. To read 512 MB takes five seconds (runbook).
    "auto-aof-rewrite-min-size": "512mb",
    "rdbcompression": "no",  # packed values hardly shrink, and trying is a third of a rewrite
    "daemonize": "no",
}


class Redis(Process):
    """Redis with a data directory and a port of its own. `others` are settings in place of ours, or beside them."""

    name = "redis"

    def __init__(self, directory: Path, others: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(directory)
        self._others = others

    @property
    def port(self) -> int:
        """Raises DevError before the first start."""
        port = ports.remembered(self._port_file)
        if port is None:
            raise DevError(f"Redis was never started in {self.directory}.")
        return port

    @property
    def url(self) -> str:
        """redis://... of database 0. Raises DevError before the first start."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def data(self) -> Path:
        """Where its append-only file is."""
        return self.directory / "data"

    def command(self) -> list[str]:
        program = shutil.which("redis-server")
        if program is None:
            raise DevError("Redis (`redis-server`) is not installed.")
        return [program, str(self.directory / "redis.conf")]

    def prepare(self) -> None:
        data = self.data
        data.mkdir(mode=0o700, exist_ok=True)
        settings = {**SETTINGS, **self._others, "port": str(ports.settle(self._port_file)), "dir": str(data)}
        lines = [f'{name} "{value}"' for name, value in settings.items()]
        (self.directory / "redis.conf").write_text("\n".join(lines) + "\n")

    def ready(self) -> bool:
        """PING is refused while the append-only file is being loaded."""
        client = redis.Redis(port=self.port, socket_timeout=_PROBE_TIMEOUT_S, socket_connect_timeout=_PROBE_TIMEOUT_S)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    @property
    def _port_file(self) -> Path:
        return self.directory / "port"
