"""A web process that can die at a line of confirm: `gunicorn tests.support.dying_web:app`.

The file that `DIES_AFTER` names holds the call after which the process ends itself by SIGKILL: `pin`, `commit` or
`settle`. It dies once: the file is gone then."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from app.factory import create_app
from app.services.confirm import Decide
from app.services.together import Together
from dev.gunicorn import Gunicorn

CRASH_POINTS: Final = {"pin": "confirm", "commit": "confirm_bookings", "settle": "settle"}


class DyingWeb(Gunicorn):
    """gunicorn with this module's application."""

    def command(self) -> list[str]:
        return [*super().command()[:-1], "tests.support.dying_web:app"]


class _Dying:
    """A store that does all its calls, and does not outlive the one that is named."""

    def __init__(self, store: Any, name: Path) -> None:
        self._store = store
        self._name = name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            answer = getattr(self._store, method)(*arguments, **named)
            if self._name.exists() and CRASH_POINTS[self._name.read_text()] == method:
                self._name.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call


def _application() -> Any:
    app = create_app()
    wiring, name = app.extensions["holdfast"], Path(os.environ["DIES_AFTER"])
    stores = {"reservations": _Dying(wiring.reservations, name), "ledger": _Dying(wiring.ledger, name)}
    decide = Together(Decide(**stores, shards=wiring.settings.shards), key=lambda pin: pin.booking.booking_id)
    wiring.confirm = replace(wiring.confirm, **stores, decide=decide)
    return app


if "DIES_AFTER" in os.environ:  # not where a test takes its names from here
    app = _application()
