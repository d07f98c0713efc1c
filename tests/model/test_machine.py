"""The seam under steps that Hypothesis chooses, on the model and on the real stores; and what it makes of a protection
that is missing: the few steps without which nobody would see it.

It serves to read what breaks, not to hunt: of the protections it finds a third, in the time in which the schedules find
all. `make model` has it try more."""

import os
import re
from functools import partial

import pytest

from tests.model.machine import replay, run
from tests.model.model import ModelWorld
from tests.model.protections import PROTECTIONS
from tests.model.real import RealWorld
from tests.model.real_stores import Servers
from tests.model.stage import Broken
from tests.model.switches import switched_off

FIRST = int(os.environ.get("SEED", "0"))
SCHEDULES = int(os.environ.get("SCHEDULES", "400")) // 8
REAL_SCHEDULES = int(os.environ.get("REAL_SCHEDULES", "10"))
pytestmark = pytest.mark.timeout(600)  # on a machine that others use as well
SHRUNK = {
    "cuts_need_a_ceiling": 6,
    "the_limit_spans_zones": 6,
}
"""In so few steps at most."""


def test_the_model_holds_whatever_steps_are_taken() -> None:
    assert not run(FIRST, ModelWorld, SCHEDULES)


def test_the_real_stores_hold_whatever_steps_are_taken(servers: Servers) -> None:
    assert not run(FIRST, partial(RealWorld, servers), REAL_SCHEDULES)


@pytest.mark.parametrize("off", SHRUNK)
def test_what_breaks_without_a_protection_is_a_few_steps_and_the_same_on_the_real_stores(
    servers: Servers, off: str
) -> None:
    found = run(0, ModelWorld, 1_000, off)
    assert found, f"{PROTECTIONS[off]}: and nobody sees it"
    broken, steps = found
    print(f"\n{off}: {broken}, in {len(steps)} steps:\n  " + "\n  ".join(steps))
    assert len(steps) <= SHRUNK[off]
    real = partial(RealWorld, servers)
    with switched_off(off, servers.database_url), pytest.raises(Broken, match=re.escape(broken)):
        replay(steps, real, off)
    replay(steps, real)
