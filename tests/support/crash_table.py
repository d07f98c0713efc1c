"""What each behaviour of a provider comes to when web process or worker are killed at each point of a payment."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import redis

from app.domain.errors import Refusal
from app.domain.model import Order
from app.wiring import Wiring
from dev.provider import Provider
from tests.support import servers
from tests.support.buyers import Box, until
from tests.support.dying_till import DyingWeb, DyingWorker
from tests.support.invariants import stores_agree
from tests.support.seats import open_shop
from tests.support.web import serving
from tests.support.without_kafka import carrying

BOUND_S: Final = 20
POINTS: Final = ("pin", "intent", "capture", "commit", "refund")
SEATS, CAPACITY = 2, 10
PATIENCE_S: Final = 120
SECRET: Final = "whsec_" + "a" * 43 + "="


class Behaviour(NamedTuple):
    payment_id: str
    end: tuple[str, ...]
    """Of a booking whose payment was begun: its status, the payment's state here, and at the provider."""
    hold_seconds: int = 600
    sold_meanwhile: bool = False


PAID = ("confirmed", "captured", "captured")
EXPIRES: Final = 6
BEHAVIOURS: Final = {
    "approve": Behaviour("approve-1", PAID),
    "decline": Behaviour("decline-1", ("reserved", "declined", "declined")),
    "time out, then succeed": Behaviour("timeout-then-succeed-1", PAID),
    "time out, then fail": Behaviour("timeout-then-fail-1", ("reserved", "declined", "declined")),
    "lose the answer": Behaviour("lose-answer-1", PAID),
    "never know": Behaviour("hang-1", ("reserved", "voided", "voided")),
    "answer twice": Behaviour("answer-twice-1", PAID),
    "refuse two refunds": Behaviour("refuse-refunds-2-1", PAID),
    "webhook before the reply": Behaviour("webhook-before-reply-1", PAID),
    "webhook after expiry": Behaviour("webhook-after-expiry-1", ("expired and confirmed anew", *PAID[1:]), EXPIRES),
    "the same, seats sold": Behaviour("webhook-after-expiry-1", ("expired", "refunded", "refunded"), EXPIRES, True),
}
UNPAID: Final = ("expired", "", "")
GIVEN_BACK: Final = ("cancelled", "refunded", "refunded")


class Cell(NamedTuple):
    victim: str
    point: str
    behaviour: str

    def reached(self) -> bool:
        """Whether there is such a moment: what was never captured is not refunded, and what is refunded because its
        seats are gone is refunded by the worker alone."""
        if self.point != "refund":
            return True
        what = BEHAVIOURS[self.behaviour]
        return "captured" in what.end or (what.sold_meanwhile and self.victim == "worker")

    def end(self) -> tuple[str, ...]:
        what = BEHAVIOURS[self.behaviour]
        if (self.victim, self.point) == ("web", "pin"):
            return UNPAID  # nobody was asked for money
        if self.point != "refund" or what.sold_meanwhile:
            return what.end
        return ("expired and cancelled anew", *GIVEN_BACK[1:]) if what.hold_seconds == EXPIRES else GIVEN_BACK


def cells(victim: str, point: str) -> list[Cell]:
    return [cell for behaviour in BEHAVIOURS if (cell := Cell(victim, point, behaviour)).reached()]


@dataclass
class Till:
    """A web process and a worker that die when told so, a provider that tells by webhook, and a process beside them."""

    shop: Wiring
    web: DyingWeb
    worker: DyingWorker
    provider: Provider
    directory: Path

    @property
    def box(self) -> Box:
        return Box(self.web.base_url)

    def arm(self, cell: Cell, booking_id: str) -> None:
        self._dies(cell.victim).write_text(f"{cell.point} {booking_id}")

    def died(self, victim: str) -> None:
        """Waits for that; a worker is then started again, a web process is by its master."""
        until(lambda: not self._dies(victim).exists(), PATIENCE_S, f"the {victim} dies")
        if victim == "worker":
            until(lambda: not self.worker.running, 10, "the worker is gone")
            self.worker.start()

    def _dies(self, victim: str) -> Path:
        return self.directory / f"{victim}-dies-after"

    def rows(self, query: Any, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.shop.postgres.rows(query, parameters)


@contextmanager
def till(directory: Path, database: str, redis_url: str, **more: str) -> Iterator[Till]:
    """Runs until the block ends."""
    directory.mkdir()
    redis.Redis.from_url(redis_url).flushall()
    settings = {
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "AUTH_MODE": "gateway",
        "ADMIN_TOKEN": "admin-token-of-the-tests",
        "APP_ENV": "development",
        "PAYMENTS": "http",
        "PAYMENTS_WEBHOOK_SECRET": SECRET,
        "PAYMENT_TIMEOUT_MS": "500",
        "PAYMENT_BOUND_SECONDS": str(BOUND_S),
        "PIN_LIMIT_SECONDS": "3",
        "WEB_CONCURRENCY": "1",
        **more,
    }
    provider = Provider(directory / "provider")
    provider.directory.mkdir()
    provider.prepare()
    web_settings = {**settings, "PAYMENTS_URL": provider.url, "DIES_AFTER": str(directory / "web-dies-after")}
    with serving(directory / "web", DyingWeb, **web_settings) as web:
        provider.settings = {
            "PROVIDER_KNOWN_AFTER_S": "1",
            "PROVIDER_LATEST_AFTER_S": str(BOUND_S + 8),
            "PROVIDER_HANGS_S": "1",
            "PROVIDER_WEBHOOK_URL": f"{web.base_url}/webhooks/payments",
            "PROVIDER_WEBHOOK_SECRET": SECRET,
        }
        provider.start()
        provider.wait_until_ready()
        dies_after = {"PAYMENTS_URL": provider.url, "DIES_AFTER": str(directory / "worker-dies-after")}
        worker = DyingWorker(directory / "worker", servers.environment(**settings, **dies_after), ["saga", "sweeper"])
        worker.start()
        payments = {"payments": "http", "payments_url": provider.url, "payment_timeout_ms": 500}
        shop = open_shop(database, redis_url, **payments)
        try:
            with carrying(shop):
                yield Till(shop, web, worker, provider, directory)
        finally:
            shop.close()
            worker.stop()
            provider.stop()


class Ended(NamedTuple):
    cell: Cell
    end: tuple[str, ...]
    wrong: list[str]


class Play:
    """One cell: a sale, a death at its point, and what it all comes to, with nobody asking again."""

    def __init__(self, till: Till, cell: Cell) -> None:
        self.till = till
        self.cell = cell
        self.what = BEHAVIOURS[cell.behaviour]
        self.event_id = self.booking_id = ""

    def crash(self) -> None:
        """Until the process has died at its point."""
        till, box, cell = self.till, self.till.box, self.cell
        until(till.web.ready, PATIENCE_S, "the web is ready")
        capacity = SEATS if self.what.sold_meanwhile else CAPACITY
        self.event_id = box.open_event(capacity, hold_seconds=self.what.hold_seconds, hold_seconds_max=600)
        self.booking_id = box.reserve(self.event_id, "ann", SEATS).body["booking_id"]
        if cell.point == "refund" and not self.what.sold_meanwhile:
            self._cancel()
        else:
            till.arm(cell, self.booking_id)
            if cell.victim == "web":
                answer = box.confirm(self.booking_id, "ann", payment_id=self.what.payment_id)
                assert answer.status == 0, f"{cell}: nobody died: {answer}"
            else:
                self._leave_an_intent()
        if self.what.sold_meanwhile and cell.point == "refund":
            self.sell_the_rest()  # before there is anything to refund
        till.died(cell.victim)
        if cell.victim == "worker":
            # The next death would come as soon as it claims again, and with it all that the last ones have left.
            until(lambda: "intent" not in self._payments().values(), PATIENCE_S, f"{cell}: somebody goes on with it")

    def _leave_an_intent(self) -> None:
        """What a web process leaves behind that has died after the intent."""
        shop = self.till.shop
        pin = shop.reservations.confirm(self.booking_id, "ann", self.what.payment_id)
        assert shop.pay
        assert shop.pay.payments.open_payment(pin, 0).decision.outcome == "OPEN"

    def _cancel(self) -> None:
        box, cell = self.till.box, self.cell
        box.confirm(self.booking_id, "ann", payment_id=self.what.payment_id)
        paid = until(self._confirmed, PATIENCE_S, f"{cell}: it is confirmed")
        self.till.arm(cell, paid)
        answer = box.call("POST", f"/bookings/{paid}/cancel", "ann", json={})
        assert answer.status == (0 if cell.victim == "web" else 200), f"{cell}: {answer}"

    def _confirmed(self) -> str | None:
        found = self.till.rows(
            "SELECT booking_id::text FROM booking.bookings WHERE event_id = %s AND status = 'confirmed'", self.event_id
        )
        return str(found[0][0]) if found else None

    def sell_the_rest(self) -> None:
        """As soon as there is a rest, for good; past the web process, which may be dead just now."""
        shop, order = self.till.shop, Order(self.event_id, "A", SEATS)
        booking_id = until(lambda: _had(shop, order), PATIENCE_S, f"{self.cell}: the seats are on sale again")
        shop.confirm("bob", booking_id, "approve-bob")

    def settle(self) -> Ended:
        """Waits until nothing is left to do, and looks at both sides."""
        until(self._at_rest, PATIENCE_S, f"{self.cell} is at rest")
        here, bookings = self._payments(), self._bookings()
        theirs = [a for a in self.till.provider.attempts() if a.booking_id == self.booking_id or a.attempt_id in here]
        there = {attempt.attempt_id: attempt.state for attempt in theirs}
        confirmed, taken = bookings.count("confirmed"), list(there.values()).count("captured")
        wrong = [f"{confirmed} tickets, and paid for {taken} times"] * (confirmed != taken)
        wrong += [
            f"{a}: {here.get(a, 'nothing')} here, {state} there" for a, state in there.items() if here.get(a) != state
        ]
        # What the provider has never heard of it cannot have taken.
        wrong += [
            f"{a}: captured here, nothing there" for a, state in here.items() if state == "captured" and a not in there
        ]
        anew = f" and {bookings[1]} anew" if len(bookings) > 1 else ""
        return Ended(self.cell, (bookings[0] + anew, ", ".join(here.values()), ", ".join(there.values())), wrong)

    def assert_stores_agree(self) -> None:
        """Once what has just happened is recorded."""
        shop, event_id = self.till.shop, self.event_id
        until(lambda: not shop.reconcile(event_id).findings, PATIENCE_S, f"{self.cell}: both stores agree")
        stores_agree(shop, event_id)

    def _at_rest(self) -> bool:
        open_ = {"intent", "pending", "voiding", "refunding"} & set(self._payments().values())
        return not open_ and self._bookings() != [] and not self._pinned()

    def _pinned(self) -> bool:
        try:
            return self.till.shop.reservations.get(self.booking_id, "ann").pinned
        except Refusal as refused:
            if refused.kind.code != "RESERVATION_NOT_FOUND":
                raise
            return False

    def _payments(self) -> dict[str, str]:
        """By attempt, the states of this sale's payments."""
        rows = self.till.rows(
            "SELECT attempt_id::text, state FROM booking.payments "
            "WHERE %s IN (booking_id, replaces) ORDER BY payment_no",
            self.booking_id,
        )
        return dict(rows)

    def _bookings(self) -> list[str]:
        """The states of Ann's, the first first."""
        rows = self.till.rows(
            "SELECT status FROM booking.bookings WHERE event_id = %s AND user_id = 'ann' ORDER BY booking_id <> %s",
            *(self.event_id, self.booking_id),
        )
        return [status for (status,) in rows]


def _had(shop: Wiring, order: Order) -> str | None:
    try:
        return shop.reserve("bob", order).booking.booking_id
    except Refusal as refused:
        if refused.kind.code != "INSUFFICIENT_SEATS":
            raise
        return None


def play(till: Till, table: Sequence[Cell]) -> list[Ended]:
    """Death after death; then each is waited for and looked at, in the table's order."""
    plays = [Play(till, cell) for cell in table]
    wrong: dict[Cell, str] = {}
    rivals = {}
    with ThreadPoolExecutor(len(table)) as pool:
        for each in plays:
            try:
                each.crash()
            except AssertionError as error:
                wrong[each.cell] = str(error)
                continue
            if each.what.sold_meanwhile and each.cell.point != "refund":
                rivals[each.cell] = pool.submit(each.sell_the_rest)
    return [_settled(each, rivals.get(each.cell), wrong.get(each.cell)) for each in plays]


def _settled(played: Play, rival: "Future[None] | None", wrong: str | None) -> Ended:
    try:
        assert not wrong, wrong
        if rival:
            rival.result()
        ended = played.settle()
        played.assert_stores_agree()
    except AssertionError as error:
        return Ended(played.cell, (), [str(error)])
    return ended


def assert_money_and_tickets_agree(ended: Sequence[Ended]) -> None:
    """In every cell, and each came to the end that it must."""
    wrong = [f"{each.cell}: {'; '.join(each.wrong)}" for each in ended if each.wrong]
    wrong += [f"{e.cell} came to {e.end}, not {e.cell.end()}" for e in ended if not e.wrong and e.end != e.cell.end()]
    assert not wrong, "\n".join(wrong)


def shown(ended: Sequence[Ended], began: float) -> str:
    """The table for a reader."""
    lines = [f"{'behaviour':<26}{'killed after':<18}end state: booking; payment here; at the provider"]
    lines += [
        f"{e.cell.behaviour:<26}{f'{e.cell.victim}, {e.cell.point}':<18}{'; '.join(e.end or e.wrong)}" for e in ended
    ]
    return "\n".join([*lines, f"{len(ended)} cells in {time.monotonic() - began:.0f} s"])
