"""A web process and a worker that can die at a line of a payment: `gunicorn tests.support.dying_till:app`, and
`python -m tests.support.dying_till loops...`.

The file that `DIES_AFTER` names holds a crash point and a booking: the process ends itself by SIGKILL after that call
about that booking. It dies once: the file is gone then. With `FORGETS` no intent outlives the web process."""

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import psycopg

from dev.gunicorn import Gunicorn
from dev.worker import Worker

COMMITS: Final = dict.fromkeys(("capture_payment", "void_pin", "honour_payment"), "commit")
OF_WEB: Final = {
    "confirm": "pin",
    "open_payment": "intent",
    "capture": "capture",
    "cancel_booking": "refund",
    **COMMITS,
    "put_off_payment": "commit",
}
OF_WORKER: Final = {
    "confirm": "pin",
    "claim_payments": "intent",
    "capture": "capture",
    "refund": "refund",
    **COMMITS,
}


class DyingWeb(Gunicorn):
    """gunicorn with this module's application."""

    def command(self) -> list[str]:
        return [*super().command()[:-1], "tests.support.dying_till:app"]


class DyingWorker(Worker):
    """A worker that is of this module."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.support.dying_till", *self.roles]


class _Dying:
    """A store or a provider that does all its calls, and whose process does not outlive the one that is named."""

    def __init__(self, inner: Any, points: Mapping[str, str]) -> None:
        self._inner = inner
        self._points = points
        self._name = Path(os.environ["DIES_AFTER"])

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._inner, method)
        if method not in self._points:
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            answer = found(*arguments, **named)
            if self._name.exists():
                point, booking_id = self._name.read_text().split()
                # A claim names its bookings in its answer, any other call in its arguments.
                if self._points[method] == point and booking_id in repr(
                    (arguments, method == "claim_payments" and answer)
                ):
                    self._name.unlink()
                    os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call


class _Forgetful:
    """The control: an intent that is as good as any, and is gone with the process that had it."""

    def __init__(self, payments: Any) -> None:
        self._payments = payments

    def __getattr__(self, method: str) -> Any:
        return getattr(self._payments, method)

    def open_payment(self, pin: Any, lease_ms: int) -> Any:
        from app.stores.payments.attempts import PostgresPayments

        with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
            rows = _Rows(connection)
            opened = PostgresPayments(rows).open_payment(pin, lease_ms)  # type: ignore[arg-type]
            connection.rollback()
        return opened


class _Rows:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def rows(self, query: Any, parameters: Any = ()) -> list[Any]:
        found: list[Any] = self._connection.execute(query, parameters).fetchall()
        return found


def _mortal(pay: Any, points: Mapping[str, str]) -> Any:
    payments = _Forgetful(pay.payments) if os.environ.get("FORGETS") else pay.payments
    parts = {"provider": pay.provider, "payments": payments, "reservations": pay.reservations}
    return replace(pay, **{name: _Dying(part, points) for name, part in parts.items()})


def _application() -> Any:
    from app.factory import create_app

    app = create_app()
    wiring = app.extensions["holdfast"]
    wiring.pay = _mortal(wiring.pay, OF_WEB)
    wiring.confirm = replace(wiring.confirm, pay=wiring.pay, reservations=wiring.pay.reservations)
    wiring.cancel = replace(wiring.cancel, ledger=_Dying(wiring.ledger, OF_WEB))
    return app


if __name__ == "__main__":
    from worker import __main__ as program  # its metrics clash with those of the web process, in the tests' own process

    build = program.build_worker

    def mortal(*arguments: Any) -> Any:
        wiring = build(*arguments)
        wiring.pay = _mortal(wiring.pay, OF_WORKER)
        return wiring

    program.build_worker = mortal
    sys.exit(program.main(sys.argv[1:]))
elif "DIES_AFTER" in os.environ:  # not where a test takes its names from here
    app = _application()
