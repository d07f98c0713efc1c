"""The load's scripts, read as text: what they promise to whoever runs them."""

import re

import pytest

from dev.load import LOAD
from tests.load import setup_dirty_scenarios

SCRIPT, CLIENT = (LOAD / "dirty_scenarios.js").read_text(), (LOAD / "client.js").read_text()
METRICS = (
    "scenario_success_rate",
    "abandoned_reservations",
    "idempotency_hits",
    "insufficient_seats_errors",
    "concurrency_winners",
    "concurrency_losers",
    "service_unavailable_503",
    "network_timeouts",
    "reservation_duration",
    "confirm_duration",
)


def test_each_scenario_has_a_plan_an_end_and_a_function() -> None:
    functions = set(re.findall(r"^export function (\w+)\(", SCRIPT, re.MULTILINE)) - {"setup", "teardown"}
    ends = set(re.findall(r"^  (\w+): \(plan\) =>", SCRIPT, re.MULTILINE))
    assert functions == ends == setup_dirty_scenarios.PLANS.keys()
    assert len(functions) == 9


@pytest.mark.parametrize("metric", METRICS)
def test_each_metric_is_defined(metric: str) -> None:
    assert re.search(rf"new (Counter|Rate|Trend)\('{metric}'", CLIENT)


def test_nothing_is_fetched_from_elsewhere() -> None:
    for source in re.findall(r"from '([^']+)'", SCRIPT + CLIENT):
        assert source == "k6" or source.startswith(("k6/", "./")), source
