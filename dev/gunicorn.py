"""The web process: gunicorn with the configuration and the application of this checkout."""

import http.client
import sys
from collections.abc import Mapping
from pathlib import Path

from dev import ports
from dev.errors import DevError
from dev.process import Process

_PROBE_TIMEOUT_S = 3.0


class Gunicorn(Process):
    """gunicorn on a loopback port of its own, or on the BIND of the settings."""

    name = "web"
    stop_timeout_s = 35.0  # its workers finish the requests that they are in
    ready_timeout_s = 60.0

    def __init__(self, directory: Path, settings: Mapping[str, str]) -> None:
        super().__init__(directory)
        self.settings = settings

    @property
    def bind(self) -> str:
        """host:port, given or our own choice. Raises DevError before the first start."""
        given = self.settings.get("BIND") or self.running_environment().get("BIND")
        if given:
            return given
        port = ports.remembered(self.directory / "port")
        if port is None:
            raise DevError(f"gunicorn was never started in {self.directory}.")
        return f"127.0.0.1:{port}"

    @property
    def base_url(self) -> str:
        """http://host:port, no path. Raises DevError before the first start."""
        host, _, port = self.bind.rpartition(":")
        return f"http://{'127.0.0.1' if host in ('', '0.0.0.0', '[::]') else host}:{port}"

    def worker_pids(self) -> list[int]:
        """The processes that serve requests, for a test that kills one. Empty when it does not run."""
        process = self._process()
        return [] if process is None else sorted(child.pid for child in process.children())

    def command(self) -> list[str]:
        # Not `python -m gunicorn`: at SIGUSR2 that runs itself again by its path, where a module of gunicorn's own
        # hides the standard library's `http`.
        program = Path(sys.executable).with_name("gunicorn")
        return [sys.executable, str(program), "-c", "gunicorn.conf.py", "wsgi:app"]

    def environment(self) -> dict[str, str]:
        return {**self.settings, "BIND": self.bind}

    def prepare(self) -> None:
        if not self.settings.get("BIND"):
            ports.settle(self.directory / "port")

    def ready(self) -> bool:
        return self.status("/readyz") == 200

    def status(self, path: str) -> int | None:
        """The HTTP status that a GET answers; None when nobody answers in time."""
        host, _, port = self.base_url.removeprefix("http://").rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=_PROBE_TIMEOUT_S)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
