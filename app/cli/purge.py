"""`flask ops purge-event`: sandbox events go, with all that they left in both stores."""

import time
from collections import defaultdict
from typing import Final

import click

from app.cli.opened import opened, settings
from app.domain.errors import refusal
from app.domain.ids import is_id, shard_of_event

_PATIENCE_S: Final = 30.0
"""Somebody else may be rebuilding the shard; that takes some seconds."""


@click.argument("event_ids", metavar="EVENT...", nargs=-1, required=True)
def purge_event(event_ids: tuple[str, ...]) -> None:
    """Remove sandbox events (ids that begin with `sandbox:`) and all that they left, idempotency records included.

    The shard of each is rebuilt without it: other events of that shard answer 503 for that moment. DATABASE_URL needs a
    login with the role holdfast_operator."""
    if wrong := [event_id for event_id in event_ids if not is_id(event_id)]:
        raise click.ClickException(f"{wrong[0]} cannot be an event's id; nothing was done.")
    by_shard = defaultdict[int, list[str]](list)
    for event_id in sorted(set(event_ids)):
        by_shard[shard_of_event(event_id, settings().shards)].append(event_id)
    with opened() as wiring:
        rebuild, deadline = wiring.rebuild(), time.monotonic() + _PATIENCE_S
        for shard, purge in sorted(by_shard.items()):
            while not rebuild(shard, purge):
                if time.monotonic() > deadline:
                    raise refusal("SERVICE_UNAVAILABLE", f"shard {shard} is being rebuilt by somebody else")
                time.sleep(0.2)
            for event_id in purge:
                click.echo(f"{event_id} is gone")
