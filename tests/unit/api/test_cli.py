"""The command line, with no server in reach."""

import subprocess
import sys
from collections.abc import Callable

import jwt
import pytest
from flask import Flask

from tests.unit.api.canned import BOOKING_PATH

SECRET = "0123456789abcdef0123456789abcdef"
MakeApp = Callable[..., Flask]


def test_a_minted_token_is_one_that_the_api_takes(make_app: MakeApp) -> None:
    app = make_app(AUTH_MODE="jwt", JWT_SECRET=SECRET, JWT_ISSUER="us", JWT_AUDIENCE="seats")
    token = app.test_cli_runner().invoke(args=["ops", "token", "--user", "ann"]).output.strip()
    headers = {"Authorization": f"Bearer {token}"}
    assert app.test_client().get(BOOKING_PATH, headers=headers).status_code == 200
    assert app.test_client().put("/api/v1/admin/events/e", json={"name": "E"}, headers=headers).status_code == 403


def test_an_administrators_token_admits_to_admin_for_as_long_as_asked(make_app: MakeApp) -> None:
    app = make_app(AUTH_MODE="jwt", JWT_SECRET=SECRET)
    token = app.test_cli_runner().invoke(args=["ops", "token", "--user", "root", "--admin", "--hours", "0.5"]).output
    claims = jwt.decode(token.strip(), SECRET, algorithms=["HS256"])
    assert claims["exp"] - claims["iat"] == 1800
    headers = {"Authorization": f"Bearer {token.strip()}"}
    assert app.test_client().put("/api/v1/admin/events/e", json={"name": "E"}, headers=headers).status_code == 201


def test_where_no_token_can_be_minted_it_says_why(make_app: MakeApp) -> None:
    result = make_app().test_cli_runner().invoke(args=["ops", "token", "--user", "ann"])
    assert result.exit_code == 1
    assert "X-User-ID" in result.output


@pytest.mark.parametrize("command", [["migrate"], ["rollback"], ["status"], ["functions"]])
def test_the_schema_has_its_four_commands(make_app: MakeApp, command: list[str]) -> None:
    assert make_app().test_cli_runner().invoke(args=["db", *command, "--help"]).exit_code == 0


def test_a_bad_setting_ends_every_door_with_one_line_and_no_traceback() -> None:
    environment = {"PATH": "/usr/bin:/bin", "REDIS_URL": "redis://127.0.0.1:1"}
    for door in (
        ["-m", "flask", "--app", "wsgi", "db", "status"],
        ["-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"],
    ):
        ended = subprocess.run([sys.executable, *door], env=environment, capture_output=True, text=True, timeout=60)
        assert ended.returncode != 0
        assert "DATABASE_URL must be set." in ended.stderr
        assert "Traceback" not in ended.stderr
