"""`flask ops dead-letters list | show | replay | discard`: messages that the worker could not handle."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

import click
from flask.cli import AppGroup

from app.cli import tables
from app.cli.opened import opened
from app.domain import times
from app.domain.model import DeadLetter
from app.wiring import Wiring

dead_letters = AppGroup("dead-letters", help="Messages that the worker could not handle, with their causes.")
_as_json = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
_ids = click.argument("ids", metavar="[ID]...", nargs=-1, type=click.IntRange(1, 2**63 - 1))
_all = click.option("--all", "everything", is_flag=True, help="All that wait.")


@dead_letters.command("list")
@click.option(
    "--state",
    type=click.Choice(["waiting", "replayed", "discarded", "all"]),
    default="waiting",
    show_default=True,
    help="What became of them.",
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="The latest so many.")
@_as_json
def list_(state: str, limit: int, as_json: bool) -> None:
    """The latest dead letters, the newest first."""
    with opened() as wiring:
        letters = wiring.dead_letters.latest(None if state == "all" else state, limit)
    if as_json:
        return click.echo(json.dumps([_told(letter) for letter in letters], indent=2))
    return tables.show(
        ("id", "at", "topic", "partition", "offset", "bytes", "state", "cause"),
        [
            (
                *(each.number, times.to_text(each.at_ms), each.topic, each.partition, each.offset),
                *(len(each.payload), each.state, each.cause),
            )
            for each in letters
        ],
    )


@dead_letters.command()
@click.argument("number", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@_as_json
def show(number: int, as_json: bool) -> None:
    """One dead letter whole: where it was, why it is here, and what it says."""
    with opened() as wiring:
        letter = wiring.dead_letters.get(number)
    if letter is None:
        raise click.ClickException(f"There is no dead letter {number}.")
    told = _told(letter)
    if as_json:
        return click.echo(json.dumps(told, indent=2))
    for name, value in told.items():
        tables.line(f"{name}:", json.dumps(value) if isinstance(value, dict) else value)
    return None


@dead_letters.command()
@_ids
@_all
def replay(ids: Sequence[int], everything: bool) -> None:
    """Send them again as they were, through the outbox: worth it once their cause is mended. Those that are poisonous
    still become dead letters anew."""
    _resolve(ids, everything, lambda wiring: wiring.dead_letters.replay, "will be sent again")


@dead_letters.command()
@_ids
@_all
def discard(ids: Sequence[int], everything: bool) -> None:
    """Nothing is to be done about them. They stay readable."""
    _resolve(ids, everything, lambda wiring: wiring.dead_letters.discard, "is discarded")


def _resolve(
    ids: Sequence[int],
    everything: bool,
    verb: Callable[[Wiring], Callable[[Sequence[int] | None], list[int]]],
    done: str,
) -> None:
    if bool(ids) == everything:
        raise click.UsageError("Name the dead letters, or --all of them.")
    with opened() as wiring:
        if unknown := [number for number in ids if wiring.dead_letters.get(number) is None]:
            raise click.ClickException(f"There is no dead letter {', '.join(map(str, unknown))}; nothing was done.")
        resolved = verb(wiring)(None if everything else ids)
    for number in resolved:
        click.echo(f"dead letter {number} {done}")
    for number in sorted(set(ids) - set(resolved)):
        click.echo(f"dead letter {number} was resolved before")
    if not ids and not resolved:
        click.echo("no dead letter waits")


def _told(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.number,
        "at": times.to_text(letter.at_ms),
        "state": letter.state,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "cause": letter.cause,
        "key": _text(letter.key),
        "headers": {name: None if value is None else _text(value) for name, value in letter.headers},
        "payload": _text(letter.payload),
    }


def _text(value: bytes) -> str:
    """As text where it is that, else in base64."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(value).decode()
