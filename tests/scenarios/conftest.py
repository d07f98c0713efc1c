"""The whole running system, as its clients see it; and the same with one protection switched off, for controls."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from dev.stack import Stack
from tests.support.altered_web import Alteration, AlteredWeb
from tests.support.buyers import Box
from tests.support.seats import open_shop
from tests.support.system import System

Altered = Callable[..., AbstractContextManager[Box]]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def system(stack: Stack) -> Iterator[System]:
    shop = open_shop(stack.settings["DATABASE_URL"], stack.settings["REDIS_URL"])
    yield System(stack, shop)
    shop.close()


@pytest.fixture(scope="module")
def box(system: System) -> Box:
    return system.box


@pytest.fixture
def worker_is_back(system: System) -> Iterator[None]:
    yield
    system.stack.worker.start()


@pytest.fixture
def altered(system: System) -> Altered:
    """`with altered((script, old, new)) as box:` a web process on the same stores that lacks a protection."""

    @contextmanager
    def altered(*alterations: Alteration) -> Iterator[Box]:
        where = system.stack.directory / f"web-altered-{next(_numbers)}"
        web = AlteredWeb(where, {**system.stack.settings, "WEB_CONCURRENCY": "1"}, *alterations)
        web.start()
        try:
            web.wait_until_ready()
            yield Box(web.base_url)
        finally:
            web.stop()

    return altered
