"""What somebody may do to Redis by hand, past every script."""

import re
from collections.abc import Callable
from typing import Any, Final

from app.stores import scripts

_FIELDS: Final = {
    "zone": re.findall(r'"(\w+)"', (scripts.LUA / "include" / "zone.lua").read_text().partition("}")[0]),
    "counts": ["held", "due", "ceiling", "ceiling_number"],
    "u": ["held", "confirmed", "version"],
}
_EDIT: Final = """
local packed = redis.call("GET", KEYS[1])
local at, array = cmsgpack.unpack_one(packed)
if type(array) ~= "table" then
  at, array = -2, { cmsgpack.unpack(packed) }
end
for i = 1, #ARGV, 2 do
  local field, value = tonumber(ARGV[i]), ARGV[i + 1]
  local plus = string.match(value, "^[+-]%d+$")
  array[field] = plus and array[field] + tonumber(plus) or tonumber(value) or value
end
local edited = at == -2 and cmsgpack.pack(unpack(array)) or cmsgpack.pack(array)
redis.call("SET", KEYS[1], edited .. (at > 0 and string.sub(packed, at + 1) or ""))
return 1
"""


def by_hand(run: Callable[..., Any], verb: str, key: str | bytes, *rest: Any) -> Any:
    """A command of Redis; or EDIT, which writes a dict of fields into what is packed: "+1" and "-1" are added."""
    if verb != "EDIT":
        return run(verb, key, *rest)
    (changes,) = rest
    kind = (key if isinstance(key, str) else key.decode("latin-1")).split(":")[2]
    words = [str(word) for name, value in changes.items() for word in (_FIELDS[kind].index(name) + 1, value)]
    return run("EVAL", _EDIT, 1, key, *words)
