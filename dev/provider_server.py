"""`python -m dev.provider_server LEDGER PORT`: a payment provider that does what the payment's name asks for.

| a payment id that begins with | |
|---|---|
| `decline-` | is declined |
| `timeout-then-succeed-` | no answer in time; a while later it is known to be captured |
| `timeout-then-fail-` | the same, declined |
| `lose-answer-` | is captured, and the connection breaks before the answer |
| `hang-` | no answer, and no outcome until it is told to void |
| `answer-twice-` | is captured, and told twice by webhook |
| `refuse-refunds-N-` | is captured; the first N refunds are refused |
| `webhook-before-reply-` | is captured, and told by webhook before the call is answered |
| `webhook-after-expiry-` | no answer, cannot be voided, and is captured and told by webhook in the end |
| anything else | is captured |

It speaks the protocol of docs/payments.md. What it has answered it has written down before.
"""

import base64
import hmac
import json
import logging
import os
import re
import sqlite3
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

log = logging.getLogger("provider")
_SCHEMA = """
PRAGMA journal_mode = wal;
CREATE TABLE IF NOT EXISTS attempts (
    attempt_id TEXT PRIMARY KEY, payment_id TEXT, booking_id TEXT, amount_minor INTEGER, currency TEXT,
    state TEXT NOT NULL, outcome TEXT, known_at REAL, refusals INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS webhooks (
    webhook_id TEXT PRIMARY KEY, attempt_id TEXT NOT NULL, due_at REAL NOT NULL, delivered INTEGER NOT NULL DEFAULT 0
);
"""
_TAKEN = ("captured", "refunded")
_DELIVER_EVERY_S = 0.1
_WEBHOOK_TIMEOUT_S = 5
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Script:
    """What becomes of a capture."""

    outcome: str = "captured"
    late: bool = False
    """No answer in time, and no outcome before `PROVIDER_KNOWN_AFTER_S`."""
    loses_answer: bool = False
    voidable: bool = True
    latest: bool = False
    """`late` means `PROVIDER_LATEST_AFTER_S`: past the bound of whoever asks, where that is short enough."""
    refusals: int = 0
    tells: int = 1
    tells_first: bool = False


def script_of(payment_id: str) -> Script:
    if refusing := re.match(r"refuse-refunds-(\d+)-", payment_id):
        return Script(refusals=int(refusing[1]))
    scripts = {
        "decline-": Script("declined"),
        "timeout-then-succeed-": Script(late=True),
        "timeout-then-fail-": Script("declined", late=True),
        "lose-answer-": Script(loses_answer=True),
        "hang-": Script("pending", late=True),
        "answer-twice-": Script(tells=2),
        "webhook-before-reply-": Script(tells_first=True),
        "webhook-after-expiry-": Script(late=True, voidable=False, latest=True),
    }
    return next((script for prefix, script in scripts.items() if payment_id.startswith(prefix)), Script())


class Ledger:
    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(_SCHEMA)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction at a time, durable when the block has ended."""
        with closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    def state(self, connection: sqlite3.Connection, attempt_id: str) -> str | None:
        """As it is now: an outcome becomes known when its time has come."""
        connection.execute(
            "UPDATE attempts SET state = outcome WHERE attempt_id = ? AND state = 'pending' AND known_at <= ?",
            (attempt_id, time.time()),
        )
        row = connection.execute("SELECT state FROM attempts WHERE attempt_id = ?", (attempt_id,)).fetchone()
        return None if row is None else str(row["state"])

    def capture(self, attempt_id: str, asked: dict[str, Any], script: Script, known_after_s: float) -> str:
        """A key that came before is answered as things stand; else it is done now."""
        with self.writing() as connection:
            state = self.state(connection, attempt_id)
            if state is not None:
                return state
            state = "pending" if script.late else script.outcome
            known_at = time.time() + known_after_s
            connection.execute(
                "INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(attempt_id, asked["payment_id"], asked["booking_id"], asked["amount_minor"], asked["currency"]),
                    *(state, script.outcome, known_at, script.refusals),
                ),
            )
            due = known_at if script.late else time.time() + 0.05 * (not script.tells_first)
            for _ in range(script.tells if script.outcome != "pending" else 0):
                connection.execute(
                    "INSERT INTO webhooks (webhook_id, attempt_id, due_at) VALUES (?, ?, ?)",
                    (f"msg_{uuid.uuid4().hex}", attempt_id, due),
                )
            return state

    def void(self, attempt_id: str) -> str:
        """Also of what it has never heard of: a capture that arrives later finds it voided."""
        with self.writing() as connection:
            state = self.state(connection, attempt_id)
            if state is None:
                connection.execute("INSERT INTO attempts (attempt_id, state) VALUES (?, 'voided')", (attempt_id,))
                return "voided"
            payment_id = connection.execute(
                "SELECT payment_id FROM attempts WHERE attempt_id = ?", (attempt_id,)
            ).fetchone()[0]
            if state == "pending" and script_of(payment_id or "").voidable:
                connection.execute("UPDATE attempts SET state = 'voided' WHERE attempt_id = ?", (attempt_id,))
                return "voided"
            return state

    def refund(self, attempt_id: str) -> str | None:
        with self.writing() as connection:
            state = self.state(connection, attempt_id)
            if state != "captured":
                return state
            (refusals,) = connection.execute(
                "SELECT refusals FROM attempts WHERE attempt_id = ?", (attempt_id,)
            ).fetchone()
            change = "refusals = refusals - 1" if refusals else "state = 'refunded'"
            connection.execute(f"UPDATE attempts SET {change} WHERE attempt_id = ?", (attempt_id,))
            return "captured" if refusals else "refunded"

    def due_webhooks(self) -> list[tuple[str, str, str]]:
        """(webhook, attempt, state) of those that are to be told now."""
        with self.writing() as connection:
            rows = connection.execute(
                "SELECT webhook_id, attempt_id FROM webhooks WHERE NOT delivered AND due_at <= ?", (time.time(),)
            ).fetchall()
            return [(w, a, self.state(connection, a) or "") for w, a in rows]

    def delivered(self, webhook_id: str) -> None:
        with self.writing() as connection:
            connection.execute("UPDATE webhooks SET delivered = 1 WHERE webhook_id = ?", (webhook_id,))


class Teller(threading.Thread):
    """Tells outcomes to PROVIDER_WEBHOOK_URL, signed as Standard Webhooks says, until each is answered 2xx."""

    def __init__(self, ledger: Ledger, url: str, secret: str) -> None:
        super().__init__(daemon=True)
        self._ledger = ledger
        self._url = url
        self._key = base64.b64decode(secret.removeprefix("whsec_"))

    def run(self) -> None:
        while True:
            for webhook_id, attempt_id, state in self._ledger.due_webhooks():
                self.tell(webhook_id, attempt_id, state)
            time.sleep(_DELIVER_EVERY_S)

    def tell(self, webhook_id: str, attempt_id: str, state: str) -> None:
        kind = "payment.succeeded" if state in _TAKEN else "payment.failed"
        body = json.dumps({"type": kind, "data": {"attempt_id": attempt_id, "state": state}}).encode()
        at = str(int(time.time()))
        signature = base64.b64encode(hmac.digest(self._key, f"{webhook_id}.{at}.".encode() + body, "sha256")).decode()
        headers = {
            "Content-Type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": at,
            "webhook-signature": f"v1,{signature}",
        }
        try:
            with _DIRECTLY.open(urllib.request.Request(self._url, body, headers), timeout=_WEBHOOK_TIMEOUT_S) as answer:
                if 200 <= answer.status < 300:
                    self._ledger.delivered(webhook_id)
        except OSError as error:
            log.info("webhook %s is told again later: %s", webhook_id, error)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    allow_reuse_address = True

    def __init__(self, ledger: Ledger, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.ledger = ledger
        self.known_after_s = float(os.environ.get("PROVIDER_KNOWN_AFTER_S") or 4)
        self.latest_after_s = float(os.environ.get("PROVIDER_LATEST_AFTER_S") or self.known_after_s)
        self.hangs_s = float(os.environ.get("PROVIDER_HANGS_S") or 8)
        self.token = os.environ.get("PROVIDER_TOKEN")
        url, secret = os.environ.get("PROVIDER_WEBHOOK_URL"), os.environ.get("PROVIDER_WEBHOOK_SECRET")
        self.teller = Teller(ledger, url, secret) if url and secret else None


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    _ROUTE = re.compile(r"/payments/([0-9a-f-]{36})(?:/(void|refund))?\Z")

    def do_GET(self) -> None:
        self._serve("GET")

    def do_PUT(self) -> None:
        self._serve("PUT")

    def do_POST(self) -> None:
        self._serve("POST")

    def _serve(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        route = self._ROUTE.match(self.path)
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            return self._answer(401, {"reason": "who are you?"})
        if route is None or (method == "POST") != bool(route[2]):
            return self._answer(404, {"reason": "no such route"})
        if method != "GET" and not self.headers.get("Idempotency-Key"):
            return self._answer(400, {"reason": "Idempotency-Key is missing"})
        if method == "PUT":
            return self._capture(route[1], json.loads(body))
        ledger = self.server.ledger
        if method == "GET":
            with ledger.writing() as connection:
                state = ledger.state(connection, route[1])
        else:
            state = ledger.void(route[1]) if route[2] == "void" else ledger.refund(route[1])
        return self._answer(404 if state is None else 200, {"state": state})

    def _capture(self, attempt_id: str, asked: dict[str, Any]) -> None:
        script = script_of(asked["payment_id"])
        with self.server.ledger.writing() as connection:
            fresh = self.server.ledger.state(connection, attempt_id) is None
        known_after_s = self.server.latest_after_s if script.latest else self.server.known_after_s
        state = self.server.ledger.capture(attempt_id, asked, script, known_after_s)
        if fresh and script.late:
            time.sleep(self.server.hangs_s)
        if fresh and script.loses_answer:
            self.close_connection = True
            return
        if fresh and script.tells_first and self.server.teller:
            for due in self.server.ledger.due_webhooks():
                self.server.teller.tell(*due)
        self._answer(200, {"state": state, **({"reason": "insufficient funds"} if state == "declined" else {})})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: Any) -> None:
        log.info(format, *arguments)


def main(path: str, port: str) -> None:
    logging.basicConfig(level="INFO", format="%(asctime)s %(message)s")
    server = Server(Ledger(Path(path)), int(port))
    if server.teller:
        server.teller.start()
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
