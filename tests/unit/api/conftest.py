"""The application without stores. No sockets."""

import logging
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.factory import create_app
from app.settings import Settings
from tests.unit.api.canned import ENVIRONMENT, Services


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """An application takes the root logger over: it is given back, for tests that come later."""
    root = logging.getLogger()
    level = root.level
    yield
    root.handlers = [handler for handler in root.handlers if handler.get_name() != "holdfast"]
    root.setLevel(level)


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture(scope="session")
def _apps() -> dict[tuple[tuple[str, str], ...], Flask]:
    """One application for each environment: writing its OpenAPI document down takes a while."""
    return {}


@pytest.fixture(params=["on", "off"], ids=["hot", "by-flask"])
def hot_routes(request: pytest.FixtureRequest) -> str:
    """Everything that is promised over HTTP is promised on both ways to a view."""
    return str(request.param)


@pytest.fixture
def make_app(
    services: Services, hot_routes: str, _apps: dict[tuple[tuple[str, str], ...], Flask]
) -> Callable[..., Flask]:
    """`make_app(AUTH_MODE="jwt", ...)`: an application on this test's `services`."""

    def make(**others: str) -> Flask:
        environment = {**ENVIRONMENT, "HOT_ROUTES": hot_routes, **others}
        key = tuple(sorted(environment.items()))
        if key not in _apps:
            _apps[key] = create_app(Settings.from_environment(environment), lambda _: services)
        _apps[key].extensions["holdfast"] = services
        return _apps[key]

    return make


@pytest.fixture
def client(make_app: Callable[..., Flask]) -> FlaskClient:
    """Of an application behind a gateway; the caller is ann."""
    client = make_app().test_client()
    client.environ_base["HTTP_X_USER_ID"] = "ann"
    return client


@pytest.fixture
def admin(make_app: Callable[..., Flask]) -> FlaskClient:
    client = make_app().test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ENVIRONMENT['ADMIN_TOKEN']}"
    return client
