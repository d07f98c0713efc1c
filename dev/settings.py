"""What the web process and the worker are told: the environment, our own addresses and secrets; kept in `.run/env`."""

import base64
import os
import secrets
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path

from app.settings import Settings

# In .run/env, in this order, for whoever talks to the system; the rest of the environment just passes through.
KEPT = (
    "BASE_URL",
    "DATABASE_URL",
    "REDIS_URL",
    "KAFKA_BOOTSTRAP_SERVERS",
    "ADMIN_TOKEN",
    "JWT_SECRET",
    "PAYMENTS_WEBHOOK_SECRET",
    "STRIPE_WEBHOOK_SECRET",
    "PAYMENTS",
    "PAYMENTS_URL",
    "AUTH_MODE",
    "APP_ENV",
)
# A running process that was started with another value of one of these is started again.
COMPARED = frozenset({field.name.upper() for field in fields(Settings)} | {"BIND", "WEB_CONCURRENCY", "HTTP_WORKER"})
_SECRET_BYTES = 32  # HS256 wants a key at least as long as its digest


def read(file: Path) -> dict[str, str]:
    """The assignments of a file in shell syntax; empty when there is none."""
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return {}
    words = [shlex.split(line, comments=True) for line in lines]
    return dict(word[0].split("=", 1) for word in words if len(word) == 1 and "=" in word[0])


def write(file: Path, values: Mapping[str, str]) -> None:
    """The same, whole or not at all, for the owner's eyes only."""
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    lines = ["# Written by `make run` and `make up`. In a shell: set -a; . .run/env; set +a"]
    lines += [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    fresh.write_text("\n".join(lines) + "\n")
    fresh.replace(file)


def complete(given: Mapping[str, str], remembered: Mapping[str, str]) -> dict[str, str]:
    """The given environment, with secrets (those of the last run, else fresh ones) and defaults for what it lacks."""
    values = dict(given)
    for name in ("ADMIN_TOKEN", "JWT_SECRET"):
        values[name] = given.get(name) or remembered.get(name) or secrets.token_urlsafe(_SECRET_BYTES)
    for name in ("PAYMENTS_WEBHOOK_SECRET", "STRIPE_WEBHOOK_SECRET"):  # both are written like this
        fresh = "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
        values[name] = given.get(name) or remembered.get(name) or fresh
    values["APP_ENV"] = given.get("APP_ENV") or "development"
    values["AUTH_MODE"] = given.get("AUTH_MODE") or "jwt"
    values["PYTHONUNBUFFERED"] = "1"  # a log line is there when it was written
    return values


def differ(running: Mapping[str, str], wanted: Mapping[str, str], names: Iterable[str] = COMPARED) -> bool:
    """Was a running process told something else than it would be told now?"""
    return any(name in wanted and running.get(name) != wanted[name] for name in names)


def environment() -> dict[str, str]:
    """Ours, without what `make` leaves there for its own children."""
    return {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
