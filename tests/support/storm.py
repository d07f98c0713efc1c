"""A storm: customers who do everything at a fixed rate, and faults that kill or pause one process after another.

Open loop: calls are due at their moments whatever the answers do. A call that was not answered for certain is sent
again, with the same key, until it is: what came of it is then known to the oracles of `promises`.
"""

import heapq
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from dev.process import Process
from tests.support.buyers import ADMIN, API, connecting_each_time
from tests.support.promises import NO_ANSWER, Call, Record

VERBS: Final = {"reserve": 35, "confirm": 28, "cancel": 25, "release": 5, "extend": 6, "get": 4, "capacity": 1}
USERS: Final = 300
CUSTOMERS: Final = 192
"""At once: at 200 calls a second each may wait for a second; what is later is sent late."""
RETRY_SECONDS: Final = 0.7
_ABOUT: Final = ("confirm", "release", "extend", "cancel", "get")
PRICE: Final = {"price_minor": 10_000, "currency": "THB"}


@dataclass(frozen=True)
class Attempt:
    """A call that may be sent several times."""

    verb: str
    user: str
    event_id: str
    booking_id: str | None = None
    key: str | None = None
    quantity: int = 0


@dataclass
class Customers:
    """`rate` calls a second on these events, each with one zone A of so many seats, from `start` until `stop`.

    `between` is where the capacities of the zones may go. `pays` names the payment of a booking, where money is asked
    for."""

    base_url: str
    capacities: Mapping[str, int]
    between: tuple[int, int]
    rate: float
    seed: int
    verbs: Mapping[str, int] = field(default_factory=lambda: VERBS)
    pays: Callable[[str], str] | None = None
    record: Record = field(default_factory=Record)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._http = connecting_each_time(self.base_url + API, timeout_s=2)
        self._keys = itertools.count(1)
        self._lock = threading.Lock()
        self._reserved: dict[str, tuple[str, str]] = {}
        self._confirmed: dict[str, tuple[str, str]] = {}
        self._again: list[tuple[float, int, Attempt]] = []
        self._changing: set[str] = set()
        self._stop = threading.Event()

    def run(self, seconds: float) -> None:
        """Calls for so long, or until `stop`, and then until each is answered for certain."""
        begin, number = time.monotonic(), 0
        with ThreadPoolExecutor(CUSTOMERS) as pool:
            pending: set[Future[None]] = set()
            while (due := begin + number / self.rate) < begin + seconds and not self._stop.is_set():
                number += 1
                self._stop.wait(max(0.0, due - time.monotonic()))
                pending = {each for each in pending if not self._failed(each)}
                pending.add(pool.submit(self._attempt))
            if self._stop.is_set():
                pending = {each for each in pending if not each.cancel()}  # those that were to be sent late
            for _ in range(600):
                if not (pending := {each for each in pending if not self._failed(each)}) and not self._again:
                    return
                pending |= {pool.submit(self._attempt, attempt) for attempt in iter(self._due, None)}
                time.sleep(0.1)
        raise AssertionError(f"{len(self._again)} calls are still not answered for certain: {self._again[:3]}")

    def stop(self) -> None:
        """No call is made but those that are not answered yet."""
        self._stop.set()

    def outcomes(self) -> dict[str, Counter[int]]:
        """How often each verb was answered with each status."""
        found: dict[str, Counter[int]] = {verb: Counter() for verb in self.verbs}
        for call in self.record.calls:
            found[call.verb][call.status] += 1
        return found

    def buy_out(self, event_id: str) -> None:
        """Buys until nothing is left: demand is above capacity."""
        for number in range(100_000):
            reserve = Attempt("reserve", f"late-{number}", event_id, None, f"late-{number}", 1)
            call = self._until_certain(reserve)
            if call.refused:
                assert call.body["code"] == "INSUFFICIENT_SEATS", call
                return
            booking_id = call.body["booking_id"]
            assert self._until_certain(Attempt("confirm", reserve.user, event_id, booking_id)).done

    def _until_certain(self, attempt: Attempt) -> Call:
        for _ in range(20):
            call = self._send(attempt)
            if call.done or call.refused:
                return call
            time.sleep(RETRY_SECONDS)
        raise AssertionError(f"{attempt} is not answered")

    @staticmethod
    def _failed(future: "Future[None]") -> bool:
        """Whether it is over; raises what it raised."""
        return future.done() and future.result() is None

    def _due(self) -> Attempt | None:
        with self._lock:
            if self._again and self._again[0][0] <= time.monotonic():
                return heapq.heappop(self._again)[2]
        return None

    def _choose(self) -> Attempt:
        """What is next; a reserve where nothing is known yet that the chosen verb could be about."""
        with self._lock:
            (verb,) = self._chance.choices(list(self.verbs), list(self.verbs.values()))
            event_id = self._chance.choice(list(self.capacities))
            if verb == "capacity" and event_id not in self._changing:
                self._changing.add(event_id)
                return Attempt(verb, "operator", event_id, quantity=self._chance.randint(*self.between))
            if verb in _ABOUT and (known := self._confirmed if verb in ("cancel", "get") else self._reserved):
                booking_id = self._chance.choice(list(known)[-100:])  # older ones may have expired
                user, event_id = known[booking_id] if verb in ("get", "extend") else known.pop(booking_id)
                return Attempt(verb, user, event_id, booking_id)
            user, quantity = f"user-{self._chance.randrange(USERS)}", self._chance.randint(1, 2)
            return Attempt("reserve", user, event_id, None, f"key-{next(self._keys)}", quantity)

    def _attempt(self, attempt: Attempt | None = None) -> None:
        attempt = attempt or self._due() or self._choose()
        call = self._send(attempt)
        with self._lock:
            if not call.done and not call.refused:
                if attempt.verb != "get":
                    due = time.monotonic() + RETRY_SECONDS
                    heapq.heappush(self._again, (due, next(self._keys), attempt))
                return
            if attempt.verb == "capacity":
                self._changing.discard(attempt.event_id)
            elif not call.done:
                return
            elif attempt.verb == "reserve" and self._chance.random() < 0.9:  # some are never heard of again
                self._reserved[call.body["booking_id"]] = (attempt.user, attempt.event_id)
            elif attempt.verb == "confirm" and attempt.booking_id:
                self._confirmed[attempt.booking_id] = (attempt.user, attempt.event_id)

    def _send(self, attempt: Attempt) -> Call:
        method, path, body = _request(attempt, self.pays)
        headers = {"X-User-ID": attempt.user, **(ADMIN if attempt.verb == "capacity" else {})}
        if attempt.key:
            headers["Idempotency-Key"] = attempt.key
        sent = time.time()
        try:
            answer = self._http.request(method, path, headers=headers, json=body)
            status, told = answer.status_code, answer.json()
            assert status != 503 or answer.headers.get("Retry-After"), "a 503 without Retry-After"
        except httpx.HTTPError:
            status, told = NO_ANSWER, {}
        return self.record.add(
            Call(
                verb=attempt.verb, user=attempt.user, event_id=attempt.event_id, sent=sent, answered=time.time(),
                status=status, body=told, booking_id=attempt.booking_id, key=attempt.key, quantity=attempt.quantity,
            )
        )  # fmt: skip


def _request(attempt: Attempt, pays: Callable[[str], str] | None) -> tuple[str, str, dict[str, Any] | None]:
    if attempt.verb == "reserve":
        order = {"event_id": attempt.event_id, "zone_id": "A", "quantity": attempt.quantity}
        return "POST", "/bookings/reserve", order
    if attempt.verb == "capacity":
        zone = {"capacity": attempt.quantity, **PRICE}
        return "PUT", f"/admin/events/{attempt.event_id}/zones/A", zone
    if attempt.verb == "get":
        return "GET", f"/bookings/{attempt.booking_id}", None
    payment = (
        {"payment_id": pays(attempt.booking_id)} if pays and attempt.booking_id and attempt.verb == "confirm" else {}
    )
    return "POST", f"/bookings/{attempt.booking_id}/{attempt.verb}", payment


@dataclass(frozen=True)
class Fault:
    """Something that is done to one process, and undone by itself before it returns."""

    name: str
    process: str
    strike: Callable[[random.Random], None]


@dataclass
class Faults:
    """Every `interval` seconds one of the faults, on a process that has recovered from the last."""

    faults: Sequence[Fault]
    seed: int
    interval: float = 5.0
    struck: Counter[str] = field(default_factory=Counter)

    def run(self, seconds: float) -> None:
        """For so long; returns when the last one is healed."""
        chance = random.Random(self.seed)
        begin, busy = time.monotonic(), dict[str, Future[None]]()
        with ThreadPoolExecutor(8) as pool:
            for number in range(1, int(seconds // self.interval) + 1):
                time.sleep(max(0.0, begin + number * self.interval - time.monotonic()))
                for process in [name for name, strike in busy.items() if strike.done()]:
                    busy.pop(process).result()
                if free := [fault for fault in self.faults if fault.process not in busy]:
                    fault = chance.choice(free)
                    print(f"{time.monotonic() - begin:6.1f} s  {fault.name}", flush=True)
                    self.struck[fault.name] += 1
                    busy[fault.process] = pool.submit(fault.strike, random.Random(chance.random()))
            for strike in busy.values():
                strike.result()


def killed(process: Process, name: str = "", away: tuple[float, float] = (0.2, 2.0)) -> Fault:
    """SIGKILL to it and its children, and an ordinary start a little later."""

    def strike(chance: random.Random) -> None:
        process.kill()
        time.sleep(chance.uniform(*away))
        process.start()
        process.wait_until_ready(60)

    name = name or process.name
    return Fault(f"kill -9 {name}", name, strike)


def paused(process: Process, name: str = "", seconds: tuple[float, float] = (0.5, 3.0)) -> Fault:
    """SIGSTOP, and SIGCONT a little later."""

    def strike(chance: random.Random) -> None:
        process.pause()
        try:
            time.sleep(chance.uniform(*seconds))
        finally:
            process.resume()

    name = name or process.name
    return Fault(f"pause {name}", name, strike)
