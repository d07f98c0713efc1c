"""Redis forgets, or may not be asked, while people buy: one case after the other, each under load, with a table.

`AWAY_SECONDS=300 make faults ARGS="-k gone"`: gone for five minutes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import forgetful
from tests.support.amnesias import AWAY_SECONDS, FORGETS, NOT_NOW, Amnesia
from tests.support.buyers import Box, until
from tests.support.dying_web import DyingWeb
from tests.support.system import System, running
from tests.support.trial import HEAD, Row, trial

pytestmark = pytest.mark.timeout(200 + 2 * AWAY_SECONDS)


@pytest.fixture(scope="module")
def system(session_directory: Path) -> Iterator[System]:
    with running(session_directory / "amnesia", PIN_LIMIT_SECONDS="5", AUDIT_SECONDS="4") as system:
        yield system


@pytest.fixture(scope="module")
def table() -> Iterator[list[Row]]:
    rows: list[Row] = []
    yield rows
    print("\n".join(["", HEAD, *map(str, rows)]))


@pytest.mark.parametrize("case", FORGETS + NOT_NOW, ids=lambda case: case.name)
def test_redis_forgets_under_load_and_nothing_but_what_it_alone_knew_is_void(
    system: System, table: list[Row], case: Amnesia
) -> None:
    table.append(trial(system, case))


@pytest.mark.parametrize(("point", "then"), [("pin", "reserved"), ("commit", "confirmed")])
def test_redis_is_lost_and_so_is_the_web_process_that_has_just_pinned_or_committed(
    system: System, point: str, then: str
) -> None:
    box, dies_after = system.box, system.stack.directory / "dies-after"
    web = DyingWeb(
        system.stack.directory / f"web-dying-{point}",
        {**system.stack.settings, "WEB_CONCURRENCY": "1", "DIES_AFTER": str(dies_after)},
    )
    web.start()
    try:
        web.wait_until_ready()
        event_id = box.open_event(10)
        booking_id = box.reserve(event_id, "ann", 2).body["booking_id"]
        until(lambda: system.shop.ledger.get_booking(booking_id), 20, "it is recorded")
        dies_after.write_text(point)
        assert Box(web.base_url).confirm(booking_id, "ann").status == 0
        assert not dies_after.exists(), "nobody died"
        forgetful.empty(system.stack.redis)
    finally:
        web.stop()
    seen = until(lambda: (a := box.call("GET", f"/bookings/{booking_id}", "ann")).status == 200 and a, 10, "it is open")
    assert seen.body["status"] == then
    confirmed = until(lambda: (a := box.confirm(booking_id, "ann")).status == 200 and a, 10, "the client asks again")
    assert confirmed.body["confirmation_code"] == box.confirm(booking_id, "ann").body["confirmation_code"]
    until(lambda: box.seats(event_id)["held"] == 0, 10, "its hold is dropped")
    assert (box.seats(event_id)["confirmed"], box.seats(event_id)["available"]) == (2, 8)
