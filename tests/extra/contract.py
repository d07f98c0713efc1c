"""schemathesis over /openapi.json of a whole system: every check, every phase, and after it the books still balance.

Not part of `make test`, hence the name without `test_`: `make test-extra` installs what it needs and runs it.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import jwt
import pytest

from dev.errors import with_tail
from dev.process import ROOT
from dev.stack import Stack
from tests.conftest import ADMIN_TOKEN
from tests.support import servers

SECRET = "0123456789abcdef0123456789abcdef"
CONFIG = Path(__file__).with_name("schemathesis.toml")
LEAST_CASES = 2_000
SIGNED = "/api/v1/webhooks/"  # nobody makes up a signature that is right
SEED = os.environ.get("SEED", "1")
_COUNTED = re.compile(r'requests_total\{method="(\w+)",route="(/api/v1/[^"]+)",status="(\d)\d\d"\} (\d+)')


@pytest.fixture(scope="module")
def stack(session_directory: Path) -> Iterator[Stack]:
    """Of its own: it verifies tokens, and what is left in it is of no use to anybody."""
    stack = Stack(
        session_directory / "contract",
        servers.environment(AUTH_MODE="jwt", JWT_SECRET=SECRET, ADMIN_TOKEN=ADMIN_TOKEN, WEB_CONCURRENCY="2"),
    )
    stack.up()
    yield stack
    stack.down()


@pytest.fixture(scope="module")
def token() -> str:
    claims = {"sub": "ann", "scope": "admin", "exp": int(time.time()) + 3600}
    return jwt.encode(claims, SECRET, algorithm="HS256")


def _successes(api: httpx.Client) -> Counter[tuple[str, str]]:
    """How often each route was answered with 2xx."""
    found = _COUNTED.findall(api.get("/metrics").text)
    counts: Counter[tuple[str, str]] = Counter()
    for method, route, digit, count in found:
        counts[method.lower(), route.replace("<", "{").replace(">", "}")] += int(count) * (digit == "2")
    return counts


@pytest.mark.timeout(1_200)
def test_no_request_is_answered_otherwise_than_documented(stack: Stack, token: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
    options = ["--seed", SEED, "--no-color", "--report-json-path", str(report)]
    api = f"{stack.base_url}/api/v1"
    ended = subprocess.run(
        [*command, f"{stack.base_url}/openapi.json", *options],
        cwd=tmp_path,  # it keeps what it has learned beside itself, and each session shall be like the first
        env={**servers.clean_environment(), "API": api, "TOKEN": token, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1_000,
    )
    print(ended.stdout[-3_000:])
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert json.loads(report.read_text())["test_cases"]["generated"] >= LEAST_CASES

    with httpx.Client(base_url=api, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client:
        successes = _successes(client)
        document = client.get(f"{stack.base_url}/openapi.json").json()
        routes = {
            (method, path)
            for path, item in document["paths"].items()
            for method in item.keys() - {"parameters"}
            if not path.startswith(SIGNED)
        }
        assert routes <= {route for route, count in successes.items() if count}, "a route was never got past refusals"
        deadline = time.monotonic() + 30
        while (drift := _drift(client)) and time.monotonic() < deadline:
            time.sleep(0.5)
        assert drift == [], with_tail("Redis and Postgres do not agree.", stack.worker.log)


def _drift(client: httpx.Client) -> list[object]:
    return [zone for zone in client.get("/admin/inventory").json()["data"] if any(zone["drift"].values())]
