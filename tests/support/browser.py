"""A headless Chromium, told what to do by its DevTools protocol: it says what a page asked for and complained of."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import websocket

_START_TIMEOUT_S = 30
_ANSWER_TIMEOUT_S = 20
_FLAGS = (
    "--headless",
    "--no-sandbox",  # which does not work as root, nor in most containers; it opens our own pages only
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1600",
    "--remote-debugging-port=0",
)


def program() -> str:
    """Raises `FileNotFoundError` with what to do about it."""
    for name in ("chromium-headless-shell", "chromium"):
        if found := shutil.which(name):
            return found
    raise FileNotFoundError("There is no Chromium: `make tools` installs it")


class Browser:
    """One page, as long as the block lasts. `complaints`: errors on its console; `requests`: every URL it asked for."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        self._directory = Path(tempfile.mkdtemp(prefix="holdfast-browser-"))
        self._process = subprocess.Popen(
            [program(), *_FLAGS, f"--user-data-dir={self._directory}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a group of its own: it starts children, and they end with it
        )
        try:
            self._socket = websocket.create_connection(
                self._page_address(), timeout=_ANSWER_TIMEOUT_S, suppress_origin=True
            )
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()
        self._end()

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def wait_for(self, script: str, seconds: float = 20) -> None:
        """Until the expression is true."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(script):
            assert time.monotonic() < deadline, f"after {seconds} s not yet: {script}; {self.complaints}"
            time.sleep(0.1)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol; what happened meanwhile is noted."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._note(message.get("method"), message.get("params", {}))

    def other_hosts(self, own: str) -> list[str]:
        """What was asked for elsewhere than at `own` (an URL)."""
        here = urlsplit(own).netloc
        return [
            url
            for url in self.requests
            if urlsplit(url).scheme in ("http", "https", "ws", "wss") and urlsplit(url).netloc != here
        ]

    def _note(self, event: str | None, told: dict[str, Any]) -> None:
        match event:
            case "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(told["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "assert"):
                self.complaints.append(str(told["args"]))
            case "Log.entryAdded" if told["entry"]["level"] == "error":
                self.complaints.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")

    def _page_address(self) -> str:
        told = self._directory / "DevToolsActivePort"
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not (told.exists() and "\n" in told.read_text()):
            assert self._process.poll() is None, f"Chromium ended with {self._process.returncode}"
            assert time.monotonic() < deadline, "Chromium did not start"
            time.sleep(0.05)
        port = told.read_text().split("\n")[0]
        pages = httpx.get(f"http://127.0.0.1:{port}/json/list", trust_env=False, timeout=_ANSWER_TIMEOUT_S).json()
        return next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=10)
        shutil.rmtree(self._directory, ignore_errors=True)
