"""Tables for a terminal of any width, and for a pipe.

In a terminal, what is wider than it is written as records, a line for each member; nothing is ever cut off. In a pipe a
row is a line, however long, so that grep and awk find what they look for.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import click
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

NONE: Final = "-"
_WIDEST: Final = 100_000  # characters of a row in a pipe
_STYLES: Final = {"confirmed": "green", "reserved": "yellow", "cancelled": "red", "released": "dim", "expired": "dim"}


def text_of(value: object) -> Text:
    """`value` as a cell. What a terminal would obey instead of showing is replaced."""
    if isinstance(value, Text):
        return value
    text = NONE if value is None else str(value)
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return Text(shown, style=_STYLES.get(shown, ""))


def show(headings: Sequence[str], rows: Iterable[Sequence[object]], *, folds: bool = False) -> None:
    """Prints rows under headings; numbers go to the right. `folds`: where it is too wide, cells are folded instead."""
    rows = list(rows)
    console = Console()
    natural = Measurement.get(console, console.options.update(width=_WIDEST), _grid(headings, rows)).maximum
    if not console.is_terminal:
        _print(Console(width=natural), _grid(headings, rows))
    elif natural <= console.width:
        _print(console, _grid(headings, rows))
    elif folds:
        _print(console, _grid(headings, rows, folds=True))
    else:
        names = [Text(heading, style="bold") for heading in headings]  # `confirmed` heads a column here
        for row in rows:
            _print(console, _grid(("", ""), list(zip(names, row, strict=True)), folds=True, header=False))
            click.echo()


def line(*cells: object) -> None:
    """Prints one line, at once, however long; a terminal breaks it where it must."""
    Console(soft_wrap=True).print(Text("  ").join(text_of(cell) for cell in cells))


def _grid(
    headings: Sequence[str], rows: Sequence[Sequence[object]], *, folds: bool = False, header: bool = True
) -> Table:
    grid = Table(box=None, show_header=header, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for index, heading in enumerate(headings):
        counts = bool(rows) and all(isinstance(row[index], int) for row in rows)
        grid.add_column(Text(heading), justify="right" if counts else "left", no_wrap=not folds, overflow="fold")
    for row in rows:
        grid.add_row(*map(text_of, row))
    return grid


def _print(console: Console, what: RenderableType) -> None:
    """Without the spaces that fill the last column up."""
    with console.capture() as capture:
        console.print(what)
    click.echo("\n".join(printed.rstrip() for printed in capture.get().splitlines()), color=True)  # rich has decided
