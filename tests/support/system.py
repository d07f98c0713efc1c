"""A whole Holdfast of a test's own: two web processes, a worker, three servers that the test may kill."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.domain.errors import Refusal
from app.wiring import Wiring
from dev.stack import Stack
from tests.support import servers
from tests.support.buyers import Box
from tests.support.invariants import stores_agree
from tests.support.seats import open_shop
from tests.support.web import ADMIN_TOKEN

_AT_REST_WITHIN_S = 20


@dataclass
class System:
    stack: Stack
    shop: Wiring
    """A process beside those of the stack, for looking."""

    @property
    def box(self) -> Box:
        return Box(self.stack.base_url)

    @property
    def database(self) -> str:
        return self.stack.settings["DATABASE_URL"]

    @property
    def kafka(self) -> str:
        return self.stack.settings["KAFKA_BOOTSTRAP_SERVERS"]

    def agreed(self, event_id: str | None = None) -> bool:
        """Whether the stores can be compared, and do not differ."""
        try:
            return not self.shop.reconcile(event_id).findings
        except Refusal as refused:
            if refused.kind.code != "SERVICE_UNAVAILABLE":
                raise
            return False

    def all_told(self) -> bool:
        """Whether both outboxes are empty."""
        shop = self.shop
        return not shop.ledger_outbox.read(1) and not any(shop.outbox.read(shard, 1) for shard in shop.shards)


def assert_seats_are_conserved(system: System, *event_ids: str) -> None:
    """Both stores, all zones of these events: nothing differs, nothing is lost, nothing is sold twice.

    Asked again for a while: what has just expired may come back between one look and the next."""
    deadline = time.monotonic() + _AT_REST_WITHIN_S
    for event_id in event_ids:
        while True:
            try:
                stores_agree(system.shop, event_id)
                break
            except (AssertionError, Refusal):
                if time.monotonic() > deadline:
                    raise


@contextmanager
def running(directory: Path, **settings: str) -> Iterator[System]:
    """Runs until the block ends."""
    given = {"AUTH_MODE": "gateway", "ADMIN_TOKEN": ADMIN_TOKEN, "WEB_CONCURRENCY": "2", **settings}
    stack = Stack(directory, servers.environment(**given))
    stack.up()
    try:
        shop = open_shop(stack.settings["DATABASE_URL"], stack.settings["REDIS_URL"])
        try:
            yield System(stack, shop)
        finally:
            shop.close()
    finally:
        stack.down()
