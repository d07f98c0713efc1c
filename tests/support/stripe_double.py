"""A stand-in for Stripe: the few routes that we use, with keys that are kept, over real HTTP, in this process.

What becomes of a payment method is told by its name: `pm_decline`, `pm_unknown` (400), anything else is authorised."""

import itertools
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_numbers = itertools.count(1)


@dataclass
class Call:
    method: str
    path: str
    key: str | None
    form: dict[str, str]


@dataclass
class Stripe:
    url: str = ""
    calls: list[Call] = field(default_factory=list)
    intents: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[str, tuple[int, Any]] = field(default_factory=dict)
    """By idempotency key: what was answered."""
    loses: str = ""
    """The answer to the next call whose path ends like this is lost."""
    fails: str = ""
    """The next call whose path ends like this is answered 500, after it was done."""
    refund_status: str = "succeeded"
    hangs_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def said(self) -> list[str]:
        """`POST /payment_intents key` of each call."""
        return [f"{c.method} {c.path.removeprefix('/v1')}" + (f" {c.key}" if c.key else "") for c in self.calls]

    def answer(self, call: Call) -> tuple[int, Any]:
        verbs = [
            (r"POST /v1/payment_intents", self._create),
            (r"GET /v1/payment_intents/search", self._search),
            (r"GET /v1/payment_intents/(\w+)", lambda form, id_: (200, self.intents[id_])),
            (r"POST /v1/payment_intents/(\w+)/capture", lambda form, id_: self._move(id_, "succeeded")),
            (r"POST /v1/payment_intents/(\w+)/cancel", lambda form, id_: self._move(id_, "canceled")),
            (r"GET /v1/refunds", lambda form: (200, _list("refund", self.refunds))),
            (r"POST /v1/refunds", self._refund),
        ]
        for pattern, verb in verbs:
            if found := re.fullmatch(pattern, f"{call.method} {call.path}"):
                return verb(call.form, *found.groups())
        return 404, _error("invalid_request_error", f"no such route: {call.method} {call.path}")

    def _create(self, form: dict[str, str]) -> tuple[int, Any]:
        if form["payment_method"] == "pm_unknown":
            return 400, _error("invalid_request_error", "No such PaymentMethod: 'pm_unknown'")
        declined = form["payment_method"] == "pm_decline"
        intent = {
            "object": "payment_intent",
            "id": f"pi_{next(_numbers)}",
            "status": "requires_payment_method" if declined else "requires_capture",
            "amount": int(form["amount"]),
            "metadata": {"attempt_id": form["metadata[attempt_id]"]},
            "last_payment_error": {"message": "Your card was declined."} if declined else None,
        }
        self.intents[str(intent["id"])] = intent
        if declined:
            return 402, _error("card_error", "Your card was declined.", payment_intent=intent)
        return 200, intent

    def _search(self, form: dict[str, str]) -> tuple[int, Any]:
        found = [i for i in self.intents.values() if f"'{i['metadata']['attempt_id']}'" in form["query"]]
        return 200, {**_list("search_result", found), "object": "search_result"}

    def _move(self, intent_id: str, status: str) -> tuple[int, Any]:
        intent = self.intents[intent_id]
        if not intent["status"].startswith("requires_"):
            return 400, _error("invalid_request_error", f"it is {intent['status']}")
        intent["status"] = status
        return 200, intent

    def _refund(self, form: dict[str, str]) -> tuple[int, Any]:
        intent = self.intents[form["payment_intent"]]
        refund = {
            "object": "refund",
            "id": f"re_{next(_numbers)}",
            "amount": intent["amount"],
            "status": self.refund_status,
            "payment_intent": intent["id"],
        }
        self.refunds.append(refund)
        return 200, refund


def _list(what: str, data: list[Any]) -> dict[str, Any]:
    return {"object": "list", "data": data, "has_more": False, "url": f"/v1/{what}s"}


def _error(kind: str, message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message, **more}}


class _Handler(BaseHTTPRequestHandler):
    stripe: Stripe
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve(urlsplit(self.path).query)

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())

    def _serve(self, form: str) -> None:
        stripe, path = self.stripe, urlsplit(self.path).path
        fields = {name: values[0] for name, values in parse_qs(form).items()}
        call = Call(self.command, path, self.headers.get("Idempotency-Key"), fields)
        time.sleep(stripe.hangs_s)
        with stripe.lock:
            stripe.calls.append(call)
            replayed = call.key in stripe.kept if call.key else False
            status, body = stripe.kept[call.key or ""] if replayed else stripe.answer(call)
            body = json.loads(json.dumps(body))
            if stripe.fails and path.endswith(stripe.fails) and not replayed:
                stripe.fails = ""
                status, body = 500, _error("api_error", "An error of our own")
            if call.key:
                stripe.kept[call.key] = (status, body)
            lost = bool(stripe.loses) and path.endswith(stripe.loses)
            stripe.loses = "" if lost else stripe.loses
        if lost:
            self.close_connection = True
            return
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if replayed:
            self.send_header("Idempotent-Replayed", "true")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nobody reads it: `calls` has them all."""


@contextmanager
def stripe_double() -> Iterator[Stripe]:
    """Serves until the block ends."""
    stripe = Stripe()
    handler = type("Handler", (_Handler,), {"stripe": stripe})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        stripe.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield stripe
        server.shutdown()
        thread.join()
