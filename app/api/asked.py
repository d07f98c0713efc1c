"""One request, as the contract sees it: what every rule reads and what every floor of `app.api` leaves for the log.

It is made from WSGI's environ before anybody has looked at the request, and so it is the same whichever way the request
reaches its view: through Flask, or straight there (`hot`).
"""

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from flask import Flask

if TYPE_CHECKING:
    from app.api.contract import Answer
    from app.domain.errors import Kind
    from app.domain.limits import Allowance

Environ = dict[str, Any]


class Asked:
    """`answered`, `refused` and `allowance` are None until there is one. Not the refusal itself is kept: its traceback
    leads back here, a circle that would cost a collection."""

    __slots__ = ("allowance", "answered", "app", "began_at", "environ", "refused", "request_id")

    def __init__(self, app: Flask, environ: Environ, request_id: str) -> None:
        self.app = app
        self.environ = environ
        self.request_id = request_id
        self.began_at = time.perf_counter()
        self.answered: Answer | None = None
        self.refused: Kind | None = None
        self.allowance: Allowance | None = None

    @property
    def path(self) -> str:
        """As Flask has it. WSGI hands bytes over as Latin-1."""
        path: str = self.environ.get("PATH_INFO", "")
        return "/" + path.lstrip("/").encode("latin-1").decode("utf-8", "replace")


CURRENT: Final[ContextVar[Asked]] = ContextVar("asked")
asked: Final = CURRENT.get
"""The request that is being answered. Raises `LookupError` outside of one."""
