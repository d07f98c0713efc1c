"""/docs of a real server in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.gunicorn import Gunicorn
from dev.redis import Redis
from tests.support.browser import Browser
from tests.support.web import serving

RESERVE = "#operations-bookings-reserve"


@pytest.fixture(scope="module")
def server(session_directory: Path, database: str, redis_server: Redis) -> Iterator[Gunicorn]:
    with serving(session_directory / "web-of-docs", DATABASE_URL=database, REDIS_URL=redis_server.url) as server:
        yield server


@pytest.fixture
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


def test_docs_render_and_an_operation_opens_without_an_error_or_another_host(
    server: Gunicorn, browser: Browser
) -> None:
    browser.open(f"{server.base_url}/docs")
    browser.wait_for(f"document.querySelector('{RESERVE}') !== null")
    assert browser.evaluate("document.querySelectorAll('.opblock').length") >= 15
    browser.evaluate(f"document.querySelector('{RESERVE} .opblock-summary-control').click()")
    browser.wait_for(f"document.querySelector('{RESERVE} .responses-table') !== null")
    text = browser.evaluate(f"document.querySelector('{RESERVE}').innerText")
    assert "Hold seats until a deadline" in text
    assert "INSUFFICIENT_SEATS" in text
    browser.wait_for("document.readyState === 'complete'")
    assert browser.complaints == []
    assert f"{server.base_url}/openapi.json" in browser.requests
    assert browser.other_hosts(server.base_url) == []


def test_the_page_of_refusals_opens_at_the_one_that_a_problem_names(server: Gunicorn, browser: Browser) -> None:
    browser.open(f"{server.base_url}/errors#insufficient-seats")
    browser.wait_for("document.querySelector(':target')?.id === 'insufficient-seats'")
    assert browser.other_hosts(server.base_url) == []


def test_control_a_page_with_an_error_and_another_host_is_noticed(server: Gunicorn, browser: Browser) -> None:
    script = "<script>console.error('hear me'); nothing()</script>"
    browser.open(f"data:text/html,<img src='http://127.0.0.1:9/x.png'>{script}")
    browser.wait_for("document.images.length === 1 && document.readyState === 'complete'")
    assert any("hear me" in complaint for complaint in browser.complaints)
    assert any("nothing is not defined" in complaint for complaint in browser.complaints)
    assert browser.other_hosts(server.base_url) == ["http://127.0.0.1:9/x.png"]
