"""The Lua scripts as texts: `lua/NAME.lua` with its `-- include:` lines replaced by the files of `lua/include`, without
what it does not use of them."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Final

LUA: Final = Path(__file__).resolve().parents[2] / "lua"
_INCLUDE: Final = re.compile(r"^-- include: (.+)$", re.MULTILINE)
_FUNCTION: Final = re.compile(r"^local function (\w+)\(.*?^end\n", re.MULTILINE | re.DOTALL)
_COMMENT: Final = re.compile(r"--.*")
_WORD: Final = re.compile(r"\w+")


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

    return _used(_INCLUDE.sub(included, (LUA / f"{name}.lua").read_text()))


def _used(text: str) -> str:
    """Without the functions that nothing calls: Redis makes each of them anew at every call of the script, which would
    cost a release a fifteenth more."""
    words = Counter(_WORD.findall(_COMMENT.sub("", text)))
    defined = Counter(_FUNCTION.findall(text))
    used = _FUNCTION.sub(lambda found: found[0] if words[found[1]] > defined[found[1]] else "", text)
    return text if used == text else _used(used)  # what only those have called is gone next


@cache
def script(name: str) -> Script:
    """Script `name`, read once per process."""
    text = source(name)
    return Script(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())
