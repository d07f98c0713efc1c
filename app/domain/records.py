"""Records that are made for each request: for the type checker frozen dataclasses, and dataclasses at run time.

A frozen one sets each of its fields through `object.__setattr__`. Four of them took a tenth of a reserve.
"""

from typing import TYPE_CHECKING, Any

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:
    from dataclasses import dataclass

    def record(*, frozen: bool, **options: Any) -> Any:
        return dataclass(unsafe_hash=frozen, **options)
