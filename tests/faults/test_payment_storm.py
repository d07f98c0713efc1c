"""Five hundred customers pay at once, the provider often does not answer in time, what it tells comes twice and is not
always true, and the worker is killed three times."""

import base64
import json
import os
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import redis
from standardwebhooks import Webhook

from app.wiring import Wiring
from dev.gunicorn import Gunicorn
from dev.provider import Provider
from dev.redis import Redis
from dev.worker import Worker
from tests.support import servers
from tests.support.buyers import Answer, Box, at_once, connecting_each_time, until
from tests.support.invariants import stores_agree
from tests.support.seats import Clock, Sale, open_shop
from tests.support.till import disagreements, states_left
from tests.support.web import serving
from tests.support.without_kafka import carry

pytestmark = pytest.mark.timeout(600)
SEED = int(os.environ.get("SEED", "1"))
CUSTOMERS, BOUND_S, TIMEOUT_MS = 500, 20, 1000
# A step's lease outlives whoever was killed with it, and the saga's next look is soon: by then it is decided.
GRACE_S = 2 * TIMEOUT_MS / 1000 + 2 + 10
SHARES = {
    "approve": 225,
    "answer-twice": 50,
    "webhook-before-reply": 25,
    "decline": 50,
    "timeout-then-succeed": 70,
    "timeout-then-fail": 50,
    "hang": 30,
}
KILLS, GOSSIPS = 3, 6
SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes, ok").decode()
DEFINITE = (200, 202, 402, 404)
UNDECIDED = """
SELECT extract(epoch FROM coalesce(min(s.at), clock_timestamp()) - p.created_at)::float
FROM booking.payments AS p
LEFT JOIN booking.payment_steps AS s ON s.payment_no = p.payment_no AND s.state NOT IN ('intent', 'pending')
GROUP BY p.payment_no
ORDER BY 1 DESC
"""


@dataclass
class Hall:
    web: Gunicorn
    worker: Worker
    provider: Provider
    shop: Wiring


@pytest.fixture
def hall(session_directory: Path, database: str, redis_server: Redis) -> Iterator[Hall]:
    directory = session_directory / "payment-storm"
    directory.mkdir()
    redis.Redis.from_url(redis_server.url).flushall()
    provider = Provider(directory / "provider", {"PROVIDER_KNOWN_AFTER_S": "4", "PROVIDER_HANGS_S": "2"})
    provider.directory.mkdir()
    provider.prepare()
    settings = {
        "DATABASE_URL": database,
        "REDIS_URL": redis_server.url,
        "AUTH_MODE": "gateway",
        "ADMIN_TOKEN": "admin-token-of-the-tests",
        "PAYMENTS": "http",
        "PAYMENTS_URL": provider.url,
        "PAYMENTS_WEBHOOK_SECRET": SECRET,
        "PAYMENT_TIMEOUT_MS": str(TIMEOUT_MS),
        "PAYMENT_BOUND_SECONDS": str(BOUND_S),
    }
    with serving(directory / "web", WEB_CONCURRENCY="2", **settings) as web:
        tells = {"PROVIDER_WEBHOOK_URL": f"{web.base_url}/webhooks/payments", "PROVIDER_WEBHOOK_SECRET": SECRET}
        provider.settings = {**provider.settings, **tells}
        provider.start()
        provider.wait_until_ready()
        worker = Worker(directory / "worker", servers.environment(**settings), ["saga", "sweeper"])
        worker.start()
        shop = open_shop(database, redis_server.url)
        yield Hall(web, worker, provider, shop)
        shop.close()
        worker.stop()
        provider.stop()


@dataclass
class Gossip:
    """Signed webhooks about payments that there are, over and over: some twice, many late, every other one a lie."""

    hall: Hall
    chance: random.Random
    told: Counter[str] = field(default_factory=Counter)
    over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Gossip":
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(GOSSIPS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def _run(self) -> None:
        with connecting_each_time(self.hall.web.base_url, 5) as http:
            while not self.over.wait(0.05):
                if known := self.hall.provider.attempts():
                    self._tell(http, self.chance.choice(known).attempt_id)

    def _tell(self, http: httpx.Client, attempt_id: str) -> None:
        kind = self.chance.choice(("payment.succeeded", "payment.failed"))
        body = json.dumps({"type": kind, "data": {"attempt_id": attempt_id}})
        message_id, now = f"msg_{uuid.uuid4().hex}", datetime.now(UTC)
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(SECRET).sign(message_id, now, body),
            "Content-Type": "application/json",
        }
        for _ in range(self.chance.randint(1, 3)):
            try:
                self.told[str(http.post("/webhooks/payments", content=body, headers=headers).status_code)] += 1
            except httpx.HTTPError as error:
                self.told[type(error).__name__] += 1


def _pays(box: Box, booking_id: str, user: str, payment_id: str) -> Answer:
    """Asks again while it is not told what it came to."""
    deadline = time.monotonic() + 60
    while (answer := box.confirm(booking_id, user, payment_id=payment_id)).status not in DEFINITE:
        assert answer.status in (0, 503), answer
        assert time.monotonic() < deadline, answer
        time.sleep(0.5)
    return answer


def _is_told_the_truth(answer: Answer, status: str) -> bool:
    return {200: status == "confirmed", 402: status != "confirmed"}.get(answer.status, answer.status == 202)


def test_five_hundred_pay_at_once_and_each_has_a_ticket_for_money_or_neither(hall: Hall) -> None:
    chance, box, shop = random.Random(SEED), Box(hall.web.base_url, timeout_s=60), hall.shop
    names = [f"{kind}-{n}" for kind, count in SHARES.items() for n in range(count)]
    chance.shuffle(names)
    sale = Sale(shop, Clock(), box.open_event(CUSTOMERS))
    users = [f"u{n}" for n in range(CUSTOMERS)]
    bookings = [sale.reserve(user).booking.booking_id for user in users]
    began = time.monotonic()
    with Gossip(hall, chance) as gossip:
        killer = threading.Thread(target=_kill, args=(hall.worker, random.Random(SEED)))
        killer.start()
        answers = at_once(lambda n: _pays(box, bookings[n], users[n], names[n]), CUSTOMERS)
        answered = time.monotonic() - began
        killer.join()
        until(lambda: not states_left(sale), 120, "everything is decided")
    until(lambda: not states_left(sale), 30, "and what the last of the gossip has led to")
    ended = time.monotonic() - began
    booked = dict(sale.rows("SELECT booking_id::text, status FROM booking.bookings WHERE event_id = %s", sale.event_id))
    undecided = [seconds for (seconds,) in sale.rows(UNDECIDED)]
    theirs = Counter(attempt.state for attempt in hall.provider.attempts())
    for figure in (
        f"seed {SEED}: {CUSTOMERS} confirms at once, the worker killed {KILLS} times",
        f"answers {dict(Counter(a.status for a in answers))} within {answered:.1f} s, all decided after {ended:.1f} s",
        f"bookings {dict(Counter(booked.values()))}, attempts at the provider {dict(theirs)}",
        f"webhooks beside the provider's own, by answer {dict(gossip.told)}",
        f"undecided {undecided[0]:.1f} s at the longest, of {BOUND_S} s",
    ):
        print(figure)
    assert disagreements(sale, hall.provider) == []
    assert [a for a, b in zip(answers, bookings, strict=True) if not _is_told_the_truth(a, booked[b])] == []
    assert [seconds for seconds in undecided if seconds > BOUND_S + GRACE_S] == []
    assert set(booked.values()) == {"confirmed", "reserved"}
    assert sum(theirs.values()) >= CUSTOMERS
    carry(shop)
    stores_agree(shop, sale.event_id)


def _kill(worker: Worker, chance: random.Random) -> None:
    for _ in range(KILLS):
        time.sleep(chance.uniform(2, 5))
        worker.kill()
        worker.start()
