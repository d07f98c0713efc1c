"""Reserve: Holdfast, its variants, the naive variant, peers, and the ceilings above them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import jwt
from redis import Redis

from bench import cpu, requests
from bench.measure import Plan, Row, Subject, at_fixed_rates, in_turns, middle
from bench.requests import N, Request
from bench.system import System

PATH: Final = "/api/v1/bookings/reserve"
_ONE: Final = "Holdfast"
_TWO: Final = "Holdfast, two web processes"
_NAIVE: Final = "naive variant"
VARIANTS: Final[Mapping[str, Mapping[str, str]]] = {
    _ONE: {},
    "Holdfast, stock worker": {"HTTP_WORKER": "stock"},
    "Holdfast, stock worker, by Flask": {"HTTP_WORKER": "stock", "HOT_ROUTES": "off"},
    _TWO: {"WEB_CONCURRENCY": "2"},
}
"""Web processes that differ in settings, measured side by side; `--variant NAME:SETTING=VALUE` adds one."""
_SHARES: Final = (0.5, 0.8)
_CROWDS: Final = {_ONE: 256, _NAIVE: 256, _TWO: 512}
"""With so many connections they are asked once more. An on-sale has many at once; and two processes that never wait
for the driver show whether the cores are full."""
_FURTHER: Final = 5
"""So many places later each round begins its turns."""
ROLES: Final = ("redis", "postgres", "worker", "broker")


def order(event: str) -> dict[str, object]:
    return {"event_id": event, "zone_id": "A", "quantity": 1}


def reserving(event: str) -> Request:
    """A buyer with one reservation each, under a key."""
    return requests.of("POST", PATH, {"X-User-ID": f"buyer-{N}", "Idempotency-Key": f"key-{N}"}, order(event))


def by_token(event: str, secret: str) -> Request:
    """The same under AUTH_MODE=jwt: 20,000 buyers in turn, each with a token of its own."""
    until = int(time.time()) + 86_400
    tokens = [jwt.encode({"sub": f"buyer-{n:06}", "exp": until}, secret, "HS256") for n in range(20_000)]
    fields = {"Authorization": f"Bearer {requests.LINE}", "Idempotency-Key": f"key-{N}"}
    return requests.of("POST", PATH, fields, order(event), tokens)


def subjects(system: System, variants: Mapping[str, Mapping[str, str]], event: str) -> list[Subject]:
    """Web processes of Holdfast, on the same stores."""
    found = []
    for name, changed in variants.items():
        web = system.stack.web if not changed else system.web(name, changed)
        jwt_mode = changed.get("AUTH_MODE") == "jwt"
        request = by_token(event, system.stack.settings["JWT_SECRET"]) if jwt_mode else reserving(event)
        found.append(Subject(name, web.base_url, request, system.roots(web, *ROLES), settle=system.drain))
    return found


def _naive(system: System, event: str) -> Subject:
    url = system.stack.settings["REDIS_URL"].removesuffix("/0") + "/1"
    arguments = ["-c", "bench/naive_gunicorn.py", "bench.naive:create_app()"]
    web = system.web("naive", {"NAIVE_REDIS_URL": url}, arguments)
    with Redis.from_url(url) as stores:
        stores.set(f"zone:{event}:A", 2**31 - 1)
    return Subject(_NAIVE, web.base_url, reserving(event), system.roots(web, "redis", "postgres"))


def hello(system: System, variants: Mapping[str, Mapping[str, str]]) -> list[Subject]:
    """The ceiling of each worker class: the least of WSGI applications on the same configuration, asked with an empty
    request, and with that of a reserve."""
    found = []
    for name, changed in variants.items():
        if changed.keys() - {"HTTP_WORKER"}:
            continue
        web = system.web(f"hello {name}", changed, ["-c", "gunicorn.conf.py", "bench.hello:app"])
        for how, request in (("an empty request", requests.of("GET", "/", {})), ("a reserve's", reserving("hello"))):
            found.append(Subject(f"WSGI hello, {how} ({name})", web.base_url, request, system.roots(web), expects=200))
    return found


def _crowds(measured: Sequence[Subject]) -> list[Subject]:
    return [
        replace(subject, name=f"{subject.name}, {crowd} connections", connections=crowd)
        for subject in measured
        if (crowd := _CROWDS.get(subject.name))
    ]


def run(
    directory: Path,
    plan: Plan,
    variants: Mapping[str, Mapping[str, str]],
    peers: Sequence[Subject],
    say: Callable[[str], None],
) -> tuple[list[Row], dict[str, float]]:
    """The rows, and what the processes take with nothing to do, as `cpu.idle` tells it.

    Each round has a system of its own, empty at first, as a sale begins: after some rounds on one there would be
    millions of live reservations, more than a sale has, and what is measured would be Redis' tables that double, its
    file that is rewritten and Postgres' vacuum."""
    rounds: list[list[Row]] = []
    idle: dict[str, float] = {}
    for number in range(plan.rounds):
        with System(directory) as system:
            idle = idle or cpu.idle(system.roots(system.stack.web, *ROLES))
            say(f"reserve, round {number + 1} of {plan.rounds}")
            rounds.append(_round(system, replace(plan, rounds=1), variants, peers, number))
    return middle(rounds), idle


def _round(
    system: System,
    plan: Plan,
    variants: Mapping[str, Mapping[str, str]],
    peers: Sequence[Subject],
    number: int,
) -> list[Row]:
    """The open loop for those that keep what Holdfast promises, then the closed loop for all in turns. Each round
    begins these with another: what happens a minute after a start, or at so many reservations, hits them by turns."""
    event = system.open_event(f"reserve-{time.time_ns()}", max_per_user=2**31 - 1)
    ours = [*subjects(system, variants, event), *peers]
    at = at_fixed_rates(ours, plan, _SHARES)
    measured = [*ours, _naive(system, event)]
    everybody = [*measured, *_crowds(measured), *hello(system, variants)]
    first = number * _FURTHER % len(everybody)
    rows = {row.name: row for row in in_turns([*everybody[first:], *everybody[:first]], plan)}
    return [replace(rows[subject.name], at=at.get(subject.name, {})) for subject in everybody]
