"""`flask ops`: what an operator does by hand."""

import time

import click
import jwt
from flask import current_app
from flask.cli import AppGroup

from app.domain.errors import Refusal
from app.settings import Settings

ops = AppGroup("ops", help="What an operator does by hand.")


def _settings() -> Settings:
    settings: Settings = current_app.extensions["holdfast.settings"]
    return settings


@ops.command()
@click.option("--user", required=True, help="The token's subject.")
@click.option("--admin", is_flag=True, help="Admits to /admin.")
@click.option("--hours", default=24.0, show_default=True, type=click.FloatRange(min=0, min_open=True), help="Lifetime.")
def token(user: str, admin: bool, hours: float) -> None:
    """Mint a bearer token for trying. Needs JWT_SECRET, no server."""
    settings = _settings()
    if settings.auth_mode != "jwt":
        raise click.ClickException("AUTH_MODE=gateway takes no tokens of users: send X-User-ID.")
    if not settings.jwt_secret:
        raise click.ClickException("JWT_SECRET is not set: only whoever holds the private key can mint a token.")
    now = int(time.time())
    claims = {
        "sub": user,
        "iat": now,
        "exp": now + int(hours * 3600),
        **({"scope": "admin"} if admin else {}),
        **({"iss": settings.jwt_issuer} if settings.jwt_issuer else {}),
        **({"aud": settings.jwt_audience} if settings.jwt_audience else {}),
    }
    click.echo(jwt.encode(claims, settings.jwt_secret, algorithm="HS256"))


@ops.command()
@click.option("--shard", type=click.IntRange(min=0), help="Only this one; all unless given.")
def rebuild(shard: int | None) -> None:
    """Fill shards that Redis forgot anew from Postgres. One that is open stays as it is."""
    settings, wiring = _settings(), current_app.extensions["holdfast"]
    if shard is not None and shard >= settings.shards:
        raise click.ClickException(f"There are {settings.shards} shards, 0 to {settings.shards - 1}.")
    wiring.start()
    rebuild_one = wiring.rebuild()
    try:
        for number in range(settings.shards) if shard is None else [shard]:
            click.echo(f"shard {number}: {'open' if rebuild_one(number) else 'somebody else is at it'}")
    except Refusal as refused:
        raise click.ClickException(str(refused)) from None
    finally:
        wiring.close()
