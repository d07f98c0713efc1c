"""The same schedules on one real Redis and one real Postgres, by the product's own services, stores, scripts and
functions, one call at a time: the same invariants, and the same protections missed when they are switched off.

`make model` plays more of them; SEED=1 begins there. A schedule that breaks tells its seed and what everybody did."""

import os
from functools import partial

import pytest

from app.stores import scripts
from tests.model.model import ModelWorld
from tests.model.protections import FOUND_BY, PROTECTIONS
from tests.model.real import RealWorld
from tests.model.real_stores import Servers
from tests.model.schedule import Schedule, hunt
from tests.model.switches import SWITCHES, altered, switched_off

FIRST = int(os.environ.get("SEED", "0"))
SCHEDULES = int(os.environ.get("REAL_SCHEDULES", "10"))
HUNTED = 12
pytestmark = pytest.mark.timeout(600)  # on a machine that others use as well


def test_the_real_stores_hold_in_every_schedule_and_do_what_the_model_does(servers: Servers) -> None:
    """Word by word, but where two wait for each other's locks: there Postgres has its own order."""
    same = 0
    for seed in range(FIRST, FIRST + SCHEDULES):
        model, real = Schedule(seed, ModelWorld), Schedule(seed, partial(RealWorld, servers))
        model.play()
        real.play()
        same += model.stage.told == real.stage.told
    print(f"\n{same} of {SCHEDULES} schedules went word by word as in the model")
    assert same >= SCHEDULES // 2


@pytest.mark.parametrize("off", PROTECTIONS)
def test_each_protection_can_be_switched_off(off: str) -> None:
    altered(off)
    for script, changes in SWITCHES[off].scripts.items():
        assert all(old in scripts.source(script) for old, _ in changes), (
            f"{script}.lua: {off} is switched off otherwise"
        )


@pytest.mark.parametrize("off", PROTECTIONS)
def test_without_a_protection_the_real_stores_break(servers: Servers, off: str) -> None:
    """From the schedule that was known to show it when this was written: whatever changes, another is near."""
    make = partial(RealWorld, servers)
    seed = FOUND_BY[off]
    with switched_off(off, servers.database_url):
        found = hunt(make, off, range(seed, seed + HUNTED))
    assert found, f"{PROTECTIONS[off]}: and nobody sees it"
    seed, broken = found
    Schedule(seed, make, focus=off).play()  # the same schedule, as far as it goes, with the protection
    print(f"\n{off} (schedule {seed}): {broken}")
