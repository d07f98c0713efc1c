"""What the load needs of a running system: its events on sale, all of them gone again, and faults that end."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dev import faults
from dev.load import LOAD
from dev.process import ROOT
from dev.stack import Stack
from tests.support import servers
from tests.support.buyers import Box, until

PROGRAM = LOAD / "setup_dirty_scenarios.py"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(stack: Stack, tmp_path: Path) -> Iterator[Run]:
    """`run("reset")`, with the file of seeds in a place of the test's own."""
    (tmp_path / "tests" / "load").mkdir(parents=True)
    for name in ("app", "dev", "sql", "lua", "wsgi.py", "worker"):
        (tmp_path / name).symlink_to(ROOT / name)
    program = tmp_path / "tests" / "load" / PROGRAM.name
    program.write_text(PROGRAM.read_text())
    environment = servers.environment(**{**stack.settings, "BASE_URL": stack.base_url})

    def run(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, str(program), *arguments]
        return subprocess.run(command, env={**environment, **more}, capture_output=True, text=True, timeout=100)

    yield run
    run("reset")


def test_every_scenario_is_on_sale_in_each_of_its_zones_and_gone_after_reset(
    stack: Stack, run: Run, tmp_path: Path
) -> None:
    box, file = Box(stack.base_url), tmp_path / "tests" / "load" / "dirty_scenarios_seed.json"
    ended = run()
    assert ended.returncode == 0, ended.stderr
    seed = json.loads(file.read_text())
    places = [place for plan in seed["scenarios"].values() for place in plan["places"]]
    events = {place["event_id"] for place in places}
    assert len(places) == 33
    for event_id in events:
        zones = box.call("GET", f"/events/{event_id}/zones").body["data"]
        assert {zone["zone_id"] for zone in zones} == {p["zone_id"] for p in places if p["event_id"] == event_id}
        assert {(zone["unit_price"], zone["currency"]) for zone in zones} == {("100.00", "THB")}
    user, place = seed["users"][0]["id"], places[0]
    order = {**place, "quantity": 2, "idempotency_key": "k"}
    assert box.call("POST", "/bookings/reserve", user, json=order).status == 201

    ended = run("reset")
    assert ended.stdout == f"{len(events)} events of earlier runs are gone\n", ended.stderr
    assert not file.exists()
    gone = until(lambda: (a := box.call("POST", "/bookings/reserve", user, json=order)).status != 503 and a, 10, "open")
    assert gone.body["code"] == "EVENT_NOT_FOUND"
    assert run("reset").stdout == "0 events of earlier runs are gone\n"


def test_what_is_missing_is_said_in_one_line(run: Run) -> None:
    ended = run(ADMIN_TOKEN="")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "ADMIN_TOKEN is not known" in ended.stderr


def test_a_fault_is_over_when_it_has_been_answered(stack: Stack) -> None:
    with faults.serving(stack) as url:
        before = stack.redis.pid
        with urllib.request.urlopen(f"{url}/redis/kill", data=b"", timeout=30) as answer:
            assert answer.status == 204
        assert stack.redis.pid not in (None, before)
        assert stack.redis.ready()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{url}/postgres/kill", data=b"", timeout=30)
    until(lambda: stack.web.ready(), 20, "it sells again")
