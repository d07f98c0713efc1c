"""A provider that speaks the protocol of docs/payments.md: an in-house one, or a thin service in front of another."""

import http.client
import json
import logging
import socket
import ssl
from contextlib import closing
from threading import Timer
from typing import Any, Final, cast, get_args
from urllib.parse import urlsplit

from app.domain.payments import Outcome, OutcomeState, Payment

log = logging.getLogger(__name__)
_LONGEST_ANSWER: Final = 16_384  # bytes; a state and a reason fit into 1 KiB
_STATES: Final = frozenset(get_args(OutcomeState)) - {"unknown"}
_LONGEST_TEXT: Final = 500  # characters of what we keep of it


class HttpPayments:
    """`timeout_s` bounds a call as a whole, however slowly its answer trickles in. Safe for threads and greenlets."""

    def __init__(self, url: str, token: str | None, timeout_s: float) -> None:
        self._url = urlsplit(url.rstrip("/"))
        self._token = token
        self._timeout_s = timeout_s
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None

    def capture(self, payment: Payment) -> Outcome:
        asked = {
            "payment_id": payment.payment_id,
            "booking_id": payment.booking_id,
            "user_id": payment.user_id,
            "amount_minor": payment.amount_minor,
            "currency": payment.currency,
        }
        return self._ask("PUT", payment, body=asked)

    def status(self, payment: Payment) -> Outcome:
        return self._ask("GET", payment)

    def void(self, payment: Payment) -> Outcome:
        return self._ask("POST", payment, "void")

    def refund(self, payment: Payment) -> Outcome:
        return self._ask("POST", payment, "refund")

    def _ask(self, method: str, payment: Payment, verb: str = "", body: dict[str, Any] | None = None) -> Outcome:
        path = f"{self._url.path}/payments/{payment.attempt_id}" + (f"/{verb}" if verb else "")
        headers = {"Accept": "application/json"}
        if method != "GET":
            headers |= {
                "Content-Type": "application/json",
                "Idempotency-Key": f"{payment.attempt_id}:{verb or 'capture'}",
            }
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            status, text = self._exchange(method, path, headers, json.dumps(body or {}) if method != "GET" else None)
        except (OSError, http.client.HTTPException) as error:
            return Outcome("pending", f"the provider does not answer ({type(error).__name__})")
        if status == 404 and method == "GET":
            return Outcome("unknown")
        return _outcome(status, text)

    def _exchange(self, method: str, path: str, headers: dict[str, str], body: str | None) -> tuple[int, bytes]:
        """Raises `OSError`, `HTTPException`; also when the time is up."""
        with closing(self._connection()) as connection:
            connection.connect()
            # A socket's own timeout begins again with every byte.
            cut = Timer(self._timeout_s, _cut, [connection.sock])
            cut.start()
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                return answer.status, answer.read(_LONGEST_ANSWER)
            finally:
                cut.cancel()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._tls:
            return http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=self._timeout_s)


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        log.debug("the provider had hung up already: %s", error)


def _outcome(status: int, text: bytes) -> Outcome:
    """What was answered. Anything but a state that we know says nothing about the payment."""
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    state = answer.get("state") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or status != 200 or state not in _STATES:
        return Outcome("pending", f"the provider answered {status} and no state of the payment")
    return Outcome(cast(OutcomeState, state), _text(answer.get("reason")), _text(answer.get("reference")))


def _text(value: object) -> str | None:
    """As Postgres takes it."""
    return value.replace("\0", "")[:_LONGEST_TEXT] if isinstance(value, str) else None
