"""saga: asks the provider about payments that are not over, until they are: paid and confirmed, or nothing taken, or
given back. Any number may run, and die: everything that it knows stands in Postgres."""

import logging
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final

from app.domain.errors import Refusal
from app.domain.payments import Payment
from app.services.pay import Pay
from worker.outage import Outage

log = logging.getLogger(__name__)

# A silent provider keeps a thread for its whole timeout. With so many, five hundred payments about which it is silent
# are all looked at within half a minute, and none is given up long after its bound.
AT_ONCE: Final = 64
LOOK_EVERY_SECONDS: Final = 0.2


class Saga:
    def __init__(self, pay: Pay) -> None:
        self._pay = pay
        self._store = Outage("Redis or Postgres (for the payments)")
        self.steps = 0

    def run(self, stop: threading.Event) -> None:
        under_way: set[Future[None]] = set()
        with ThreadPoolExecutor(AT_ONCE, "saga") as pool:
            while not stop.is_set():
                claimed = self._claim(AT_ONCE - len(under_way))
                under_way |= {pool.submit(self._step, payment) for payment in claimed}
                _, under_way = wait(under_way, LOOK_EVERY_SECONDS, FIRST_COMPLETED)
                if not claimed:
                    stop.wait(LOOK_EVERY_SECONDS)

    def _claim(self, limit: int) -> list[Payment]:
        if not limit:
            return []
        try:
            return self._pay.claim(limit)
        except Refusal as refused:
            self._wait(refused)
            return []

    def _step(self, payment: Payment) -> None:
        """What cannot be done now is done again when its lease is over; one payment's bug stops no other."""
        try:
            decision = self._pay.step(payment)
            self._store.up()
            log.info("payment %d (%s): %s", payment.number, payment.state, decision.outcome)
        except Refusal as refused:
            self._wait(refused)
        except Exception:
            log.exception("payment %d: no step", payment.number)
        self.steps += 1

    def _wait(self, refused: Refusal) -> None:
        if refused.kind.code != "SERVICE_UNAVAILABLE":
            log.error("the payments' saga: %s", refused)
        self._store.down(refused.detail)
