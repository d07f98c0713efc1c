"""The fenced blocks of the pages in docs/: tests run what readers paste."""

import re
from typing import Final

from dev.process import ROOT

_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CALL: Final = re.compile(r"\bcurl\b[^|]*")


def blocks(page: str, language: str) -> list[str]:
    """The blocks of one language in docs/`page`, without the first of bash: it says where a reader's system is."""
    found = [text for name, text in _BLOCK.findall((ROOT / "docs" / page).read_text()) if name == language]
    return found[1:] if language == "bash" else found


def calls(page: str) -> list[tuple[str, str]]:
    """(method, path) of every curl line, in order; a shell variable in the path stays what it is."""
    lines = "\n".join(blocks(page, "bash")).splitlines()
    asked = [match[0] for line in lines if (match := _CALL.search(line))]
    return [(_method(call), _path(call)) for call in asked]


def _method(call: str) -> str:
    given = re.search(r"-X (\w+)", call)
    if given:
        return given[1]
    return "POST" if "--json" in call else "GET"


def _path(call: str) -> str:
    path = re.search(r"\$API(/[^\s\"?]*)", call)
    assert path, call
    return f"/api/v1{path[1]}"
