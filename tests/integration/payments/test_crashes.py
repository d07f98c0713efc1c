"""Some cells of the table of tests/faults/test_payment_crashes.py, one for each point, and its control."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.redis import Redis
from tests.support.controls import goes_red
from tests.support.crash_table import Cell, Till, assert_money_and_tickets_agree, play, till

CELLS = [
    Cell("web", "pin", "approve"),
    Cell("web", "intent", "time out, then succeed"),
    Cell("web", "commit", "decline"),
    Cell("worker", "capture", "lose the answer"),
    Cell("worker", "refund", "refuse two refunds"),
]


@pytest.fixture
def office(
    session_directory: Path, database: str, redis_server: Redis, request: pytest.FixtureRequest
) -> Iterator[Till]:
    directory = session_directory / f"crashes-{request.node.name[:20]}"
    with till(directory, database, redis_server.url, **getattr(request, "param", {})) as office:
        yield office


def test_money_and_tickets_agree_whoever_is_killed(office: Till) -> None:
    assert_money_and_tickets_agree(play(office, CELLS))


@pytest.mark.parametrize("office", [{"FORGETS": "1"}], indirect=True)
def test_control_with_no_durable_intent_a_customer_has_paid_for_nothing(office: Till) -> None:
    with goes_red("nothing here, captured there"):
        assert_money_and_tickets_agree(play(office, [Cell("web", "capture", "approve")]))
