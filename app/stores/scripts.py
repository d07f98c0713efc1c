"""The Lua scripts as texts: `lua/NAME.lua` with its `-- include:` lines replaced by the files of `lua/include`."""

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Final

LUA: Final = Path(__file__).resolve().parents[2] / "lua"
_INCLUDE: Final = re.compile(r"^-- include: (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """A script ready to run. `sha` is how Redis names it (SHA-1 of the text)."""

    name: str
    text: str
    sha: str


def names() -> list[str]:
    """Every script, by name."""
    return sorted(path.stem for path in LUA.glob("*.lua"))


def source(name: str) -> str:
    """The whole text of script `name`. Raises `FileNotFoundError` for a script or an include that does not exist."""

    def included(match: re.Match[str]) -> str:
        return "\n".join((LUA / "include" / f"{part}.lua").read_text() for part in match[1].split())

    return _INCLUDE.sub(included, (LUA / f"{name}.lua").read_text())


@cache
def script(name: str) -> Script:
    """Script `name`, read once per process."""
    text = source(name)
    return Script(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())
