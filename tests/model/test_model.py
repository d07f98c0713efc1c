"""The seam as a model: it holds in every schedule, and each protection that is taken away is seen.

`make model` plays more of them; SEED=1234 begins there."""

import os

import pytest

from tests.model.model import ModelWorld
from tests.model.protections import FOUND_BY, PROTECTIONS
from tests.model.schedule import Schedule, hunt

FIRST = int(os.environ.get("SEED", "0"))
SCHEDULES = int(os.environ.get("SCHEDULES", "400"))


def test_the_model_holds_in_every_schedule() -> None:
    for seed in range(FIRST, FIRST + SCHEDULES):
        Schedule(seed, ModelWorld).play()


@pytest.mark.parametrize("off", PROTECTIONS)
def test_without_a_protection_the_model_breaks(off: str) -> None:
    """From the schedule that was known to show it when this was written: whatever changes, another is near."""
    found = hunt(ModelWorld, off, range(FOUND_BY[off], FOUND_BY[off] + 2_000))
    assert found, f"{PROTECTIONS[off]}: and nobody sees it"
    seed, broken = found
    Schedule(seed, ModelWorld, focus=off).play()  # the same schedule, as far as it goes, with the protection
    print(f"\n{off} (schedule {seed}): {broken}")
