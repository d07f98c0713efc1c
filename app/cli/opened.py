"""What the commands share: the settings, and the services with their pools open for as long as a command takes."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask import current_app

from app.domain.errors import Refusal
from app.settings import Settings
from app.wiring import Wiring


def settings() -> Settings:
    known: Settings = current_app.extensions["holdfast.settings"]
    return known


@contextmanager
def opened() -> Iterator[Wiring]:
    """A refusal ends the command with one sentence, without a traceback."""
    wiring: Wiring = current_app.extensions["holdfast"]
    wiring.start()
    try:
        yield wiring
    except Refusal as refused:
        raise click.ClickException(str(refused)) from None
    finally:
        wiring.close()
