"""`flask ops`: what an operator does by hand."""

import time

import click
import jwt
from flask.cli import AppGroup

from app.cli import watch
from app.cli.dead_letters import dead_letters
from app.cli.opened import opened, settings
from app.cli.payments import payments
from app.cli.purge import purge_event
from app.cli.reconcile import reconcile

_HOURS = click.FloatRange(0, 87_600, min_open=True)
ops = AppGroup("ops", help="What an operator does by hand.")
for look in (watch.events, watch.zones, watch.booking, watch.tail, reconcile, purge_event):
    ops.command()(look)
ops.add_command(dead_letters)
ops.add_command(payments)


@ops.command()
@click.option("--user", required=True, help="The token's subject.")
@click.option("--admin", is_flag=True, help="Admits to /admin.")
@click.option("--hours", default=24.0, show_default=True, type=_HOURS, help="Lifetime.")
def token(user: str, admin: bool, hours: float) -> None:
    """Mint a bearer token for trying. Needs JWT_SECRET, no server."""
    known = settings()
    if known.auth_mode != "jwt":
        raise click.ClickException("AUTH_MODE=gateway takes no tokens of users: send X-User-ID.")
    if not known.jwt_secret:
        raise click.ClickException("JWT_SECRET is not set: only whoever holds the private key can mint a token.")
    now = int(time.time())
    claims = {
        "sub": user,
        "iat": now,
        "exp": now + int(hours * 3600),
        **({"scope": "admin"} if admin else {}),
        **({"iss": known.jwt_issuer} if known.jwt_issuer else {}),
        **({"aud": known.jwt_audience} if known.jwt_audience else {}),
    }
    click.echo(jwt.encode(claims, known.jwt_secret, algorithm="HS256"))


@ops.command()
@click.option("--shard", type=click.IntRange(min=0), help="Only this one; all unless given.")
def rebuild(shard: int | None) -> None:
    """Fill shards that Redis forgot anew from Postgres. One that is open stays as it is."""
    shards = settings().shards
    if shard is not None and shard >= shards:
        raise click.ClickException(f"There are {shards} shards, 0 to {shards - 1}.")
    with opened() as wiring:
        rebuild_one = wiring.rebuild()
        for number in range(shards) if shard is None else [shard]:
            click.echo(f"shard {number}: {'open' if rebuild_one(number) else 'somebody else is at it'}")
