"""`python tests/load/setup_dirty_scenarios.py [reset]`: what the dirty scenarios need, on sale through the admin API.

Writes dirty_scenarios_seed.json beside itself: where, which events, how many clients, and as whom they come. `reset`
removes all that earlier runs left, in both stores (`flask ops purge-event`), and the file.

Addresses and secrets come from the environment, else from .run/env of this checkout: BASE_URL, ADMIN_TOKEN; where
AUTH_MODE is jwt, JWT_SECRET, by which the clients' tokens are minted; for `reset`, DATABASE_URL and REDIS_URL.
DEMO_PROVIDER says that payments go to the provider of dev/provider.py, which fails on demand.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jwt

ROOT = Path(__file__).resolve().parents[2]
SEED = Path(__file__).with_name("dirty_scenarios_seed.json")
PREFIX = "sandbox:dirty."
"""An event whose id begins with `sandbox:` can be purged."""
PRICE_MINOR, UNIT_PRICE, CURRENCY = 10_000, "100.00", "THB"
TOKEN_HOURS = 12
PATIENCE_S = 20
_MANY = 1_000_000


@dataclass
class Plan:
    """One scenario: each of its events has each of its zones, and each client a place among them."""

    clients: int
    rounds: int = 1
    quantity: int = 1
    events: int = 2
    zones: tuple[str, ...] = ("A", "B")
    capacity: int = 10_000
    """Of each zone, seats."""
    hold_seconds: int = 600
    unit_price: str = UNIT_PRICE
    first_user: int = 0
    places: list[dict[str, str]] = field(default_factory=list)


PLANS = {
    # 20 clients in 4 zones with 2 seats each: a second round needs the very seats of the first.
    "client_disconnect": Plan(clients=20, rounds=2, quantity=2, capacity=10, hold_seconds=2),
    "idempotency_retry": Plan(clients=2, rounds=4, quantity=2),
    "last_seat_race": Plan(clients=100, events=1, zones=("A",), capacity=1),
    "payment_timeout": Plan(clients=12, quantity=2, hold_seconds=6),
    "consumer_crash": Plan(clients=20, rounds=8, quantity=2),
    "graceful_degradation": Plan(clients=20, rounds=40),
    "network_timeout": Plan(clients=20, rounds=5, quantity=2),
    "double_release": Plan(clients=10, rounds=2),
    "confirm_after_expiration": Plan(clients=20, hold_seconds=3),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("command", nargs="?", choices=["setup", "reset"], default="setup")
    told = _environment()
    command = {"setup": setup, "reset": reset}[parser.parse_args().command]
    try:
        with httpx.Client(base_url=_needed(told, "BASE_URL"), timeout=10, trust_env=False) as http:
            command(told, http)
    except (httpx.HTTPError, Failed) as error:
        print(f"dirty scenarios: {error}", file=sys.stderr)
        return 1
    return 0


class Failed(Exception):
    """One sentence for whoever started it."""


def setup(told: dict[str, str], http: httpx.Client) -> None:
    run, first_user = time.strftime("%Y%m%dT%H%M%S", time.gmtime()), 0
    for name, plan in PLANS.items():
        plan.first_user, first_user = first_user, first_user + plan.clients + 1
        for number in range(plan.events):
            event_id = f"{PREFIX}{name}.{number + 1}.{run}"
            terms = {
                "name": f"Dirty scenario: {name}",
                "hold_seconds": plan.hold_seconds,
                "hold_seconds_max": plan.hold_seconds,
                "max_per_user": _MANY,
            }
            _put(told, http, f"/admin/events/{event_id}", terms)
            for zone_id in plan.zones:
                zone = {"capacity": plan.capacity, "price_minor": PRICE_MINOR, "currency": CURRENCY}
                _put(told, http, f"/admin/events/{event_id}/zones/{zone_id}", zone)
                plan.places.append({"event_id": event_id, "zone_id": zone_id})
    seed = {
        "base_url": told["BASE_URL"],
        "auth_mode": told.get("AUTH_MODE") or "jwt",
        "payments": "demo" if told.get("DEMO_PROVIDER") else "none",
        "users": _users(told, first_user),
        "scenarios": {name: asdict(plan) for name, plan in PLANS.items()},
    }
    SEED.unlink(missing_ok=True)
    SEED.touch(mode=0o600)  # the tokens are good for some hours
    SEED.write_text(json.dumps(seed, indent=1) + "\n")
    print(f"{sum(len(plan.places) for plan in PLANS.values())} zones are on sale, {first_user} users: {SEED}")


def reset(told: dict[str, str], http: httpx.Client) -> None:
    events = _get(http, "/events")["data"]
    ours = sorted(event["event_id"] for event in events if event["event_id"].startswith(PREFIX))
    if ours:
        for name in ("DATABASE_URL", "REDIS_URL"):
            _needed(told, name)
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "ops", "purge-event", *ours]
        ended = subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, timeout=300)
        if ended.returncode:
            raise Failed(ended.stderr.strip().rpartition("\n")[2])
    SEED.unlink(missing_ok=True)
    print(f"{len(ours)} events of earlier runs are gone")


def _users(told: dict[str, str], count: int) -> list[dict[str, str]]:
    ids = [f"dirty-{number}" for number in range(count)]
    if told.get("AUTH_MODE") == "gateway":
        return [{"id": user} for user in ids]
    now, secret = int(time.time()), _needed(told, "JWT_SECRET")
    claims = {"iat": now, "exp": now + TOKEN_HOURS * 3600}
    claims |= {claim: told[name] for claim, name in (("iss", "JWT_ISSUER"), ("aud", "JWT_AUDIENCE")) if told.get(name)}
    return [{"id": user, "token": jwt.encode({**claims, "sub": user}, secret, algorithm="HS256")} for user in ids]


def _put(told: dict[str, str], http: httpx.Client, path: str, body: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {_needed(told, 'ADMIN_TOKEN')}"}
    _patiently(lambda: http.put(f"/api/v1{path}", headers=headers, json=body), 201)


def _get(http: httpx.Client, path: str) -> Any:
    return _patiently(lambda: http.get(f"/api/v1{path}"), 200).json()


def _patiently(ask: Any, wanted: int) -> httpx.Response:
    """A 503 is asked again for a while: a shard may just be rebuilt."""
    deadline = time.monotonic() + PATIENCE_S
    while (answer := ask()).status_code == 503 and time.monotonic() < deadline:
        time.sleep(0.3)
    if answer.status_code != wanted:
        raise Failed(f"{answer.request.method} {answer.request.url} answered {answer.status_code} {answer.text[:300]}")
    return answer


def _environment() -> dict[str, str]:
    sys.path.insert(0, str(ROOT))
    from dev import settings  # the same reading of .run/env as everywhere

    return settings.read(ROOT / ".run" / "env") | settings.environment()


def _needed(told: dict[str, str], name: str) -> str:
    if not told.get(name):
        raise Failed(f"{name} is not known: neither the environment nor .run/env (of `make up`) has it.")
    return told[name]


if __name__ == "__main__":
    sys.exit(main())
