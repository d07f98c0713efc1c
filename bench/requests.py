"""Requests as both drivers send them: one text, in which a few marks are replaced for each request.

    {n}     a number of twelve digits that no other request of this run has
    {line}  the next line of a file (booking ids, say); all of one length

The text is the whole request; `Content-Length` and `Host` are ours to add, and line ends may be plain.
"""

import itertools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

N: Final = "{n}"
LINE: Final = "{line}"
N_DIGITS: Final = 12
_runs = itertools.count(time.time_ns() // 1_000_000_000 % 100_000 * 10)


def fresh_base() -> int:
    """Where the numbers of one run of a driver begin; some millions are its own."""
    return next(_runs) % 1_000_000 * 1_000_000


@dataclass(frozen=True)
class Request:
    """`head` without its empty line; `lines` take the place of {line}, in turn."""

    head: str
    body: str = ""
    lines: Sequence[str] = ()

    def text(self, host: str) -> str:
        """The whole request, marks and all, with CRLF line ends."""
        width = len(self.lines[0]) if self.lines else len(LINE)
        length = len(self.body.replace(N, "0" * N_DIGITS).replace(LINE, "x" * width).encode())
        head = self.head.strip("\n").splitlines()
        head.insert(1, f"Host: {host}")
        if self.body or not head[0].startswith("GET"):
            head.append(f"Content-Length: {length}")
        return "\r\n".join(head) + "\r\n\r\n" + self.body

    def write(self, directory: Path, host: str) -> tuple[Path, Path]:
        """The files that the drivers read: text, lines (empty when there are none)."""
        directory.mkdir(parents=True, exist_ok=True)
        text, lines = directory / "request.http", directory / "lines"
        text.write_bytes(self.text(host).encode())
        lines.write_text("".join(f"{line}\n" for line in self.lines))
        return text, lines


def read(path: Path) -> Request:
    """From a file as `--peer-request` names it."""
    head, _, body = path.read_text().replace("\r\n", "\n").partition("\n\n")
    return Request(head, body.rstrip("\n"))


def of(method: str, path: str, headers: Mapping[str, str], body: Any = None, lines: Sequence[str] = ()) -> Request:
    """`body` is sent as JSON."""
    fields = dict(headers) | ({} if body is None else {"Content-Type": "application/json"})
    head = "\n".join([f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())])
    return Request(head, "" if body is None else json.dumps(body, separators=(",", ":")), lines)
