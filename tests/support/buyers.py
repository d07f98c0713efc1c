"""Buyers over HTTP, many at once, bounded in number and time. The tests' oracles are what these saw."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

ADMIN = {"Authorization": "Bearer admin-token-of-the-tests"}
API = "/api/v1"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Answer:
    """What one request came to. Status 0: no answer, and `code` says why; what became of it is unknown to the
    client."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]
    seconds: float


def connecting_each_time(base_url: str, timeout_s: float) -> httpx.Client:
    """A connection for each request: whoever serves one may be gone by the next.

    It is the header that ends them. A pool that may keep none (`max_keepalive_connections=0`) and that many threads
    share closes now and then one that has just been opened for another's request."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    headers = {"Connection": "close"}
    return httpx.Client(base_url=base_url, headers=headers, limits=limits, timeout=timeout_s, trust_env=False)


@dataclass
class Box:
    """The box office at one base URL, seen by its clients."""

    base_url: str
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        self._http = connecting_each_time(self.base_url, self.timeout_s)

    def call(self, method: str, path: str, user: str | None = None, **request: Any) -> Answer:
        headers = {**({"X-User-ID": user} if user else {}), **request.pop("headers", {})}
        since = time.monotonic()
        try:
            got = self._http.request(method, API + path, headers=headers, **request)
        except httpx.HTTPError as error:
            return Answer(0, {"code": type(error).__name__}, {}, time.monotonic() - since)
        return Answer(got.status_code, got.json(), dict(got.headers), time.monotonic() - since)

    def open_event(self, capacity: int, **terms: Any) -> str:
        """A fresh event with one zone A."""
        event_id = f"http-{time.time_ns()}-{next(_numbers)}"
        zone = {"capacity": capacity, "price_minor": 10_000, "currency": "THB"}
        for path, body in ((event_id, {"name": event_id, **terms}), (f"{event_id}/zones/A", zone)):
            answer = self.call("PUT", f"/admin/events/{path}", headers=ADMIN, json=body)
            assert answer.status == 201, answer
        return event_id

    def reserve(self, event_id: str, user: str, quantity: int = 1, **more: Any) -> Answer:
        body = {"event_id": event_id, "zone_id": "A", "quantity": quantity, **more}
        return self.call("POST", "/bookings/reserve", user, json=body)

    def confirm(self, booking_id: str, user: str, **body: Any) -> Answer:
        return self.call("POST", f"/bookings/{booking_id}/confirm", user, json=body)

    def seats(self, event_id: str) -> dict[str, Any]:
        answer = self.call("GET", f"/events/{event_id}/zones/A")
        assert answer.status == 200, answer
        return answer.body


def at_once(verb: Callable[[int], Answer], clients: int) -> list[Answer]:
    """So many clients, each with its number, all starting in the same moment."""
    start = threading.Barrier(clients)

    def client(number: int) -> Answer:
        start.wait(timeout=30)
        return verb(number)

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(client, range(clients)))


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


@dataclass
class Crowd:
    """Buyers in the background, `rate` requests a second, until the block ends or `most` have come."""

    verb: Callable[[int], Answer]
    rate: float
    most: int = 3000
    answers: list[tuple[float, Answer]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Crowd":
        self._pool = ThreadPoolExecutor(64)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=10)
        self._pool.shutdown(wait=True)

    def _run(self) -> None:
        begin = time.monotonic()
        for number in range(self.most):
            if self._stop.wait(max(0.0, begin + number / self.rate - time.monotonic())):
                return
            self._pool.submit(self._one, number)

    def _one(self, number: int) -> None:
        answer = self.verb(number)
        self.answers.append((time.monotonic(), answer))

    def since(self, moment: float) -> list[Answer]:
        """The answers that came after `moment` (monotonic seconds)."""
        return [answer for at, answer in self.answers if at >= moment]


def until(condition: Callable[[], Any], seconds: float, why: str) -> Any:
    """What `condition` answers once that is true; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"after {seconds} s still not: {why}"
        time.sleep(0.05)
    return answer
