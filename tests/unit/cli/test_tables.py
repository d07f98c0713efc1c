"""Tables are read by people in terminals of any width, and by programs in pipes: nothing is cut off for either."""

import re
from typing import Any

import pytest

from app.cli import tables

HEADINGS = ("booking", "status", "seats")
ROWS = [
    ("0198f3a2-7c41-8007-9d2e-5b1f0a6c3e84", "confirmed", 2),
    ("0198f3a2-7c41-8007-9d2e-5b1f0a6c3e85", "expired", 11),
]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`terminal(40)`: as if standard output were a terminal of so many columns."""

    def be(columns: int) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", str(columns))

    monkeypatch.delenv("NO_COLOR", raising=False)
    return be


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_in_a_pipe_a_row_is_a_line_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show(HEADINGS, [*ROWS, ("x" * 300, "reserved", 1)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[3].split() == ["x" * 300, "reserved", "1"]
    assert "\x1b" not in "".join(lines)
    assert all(line == line.rstrip() for line in lines)


def test_numbers_stand_one_under_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show(HEADINGS, ROWS)
    assert len({len(line) for line in capsys.readouterr().out.splitlines()}) == 1


def test_a_terminal_that_is_wide_enough_shows_a_table(capsys: pytest.CaptureFixture[str], terminal: Any) -> None:
    terminal(80)
    tables.show(HEADINGS, ROWS)
    out = capsys.readouterr().out
    assert "\x1b[32mconfirmed" in out
    assert [line.split() for line in _plain(out).splitlines()][1] == [ROWS[0][0], "confirmed", "2"]


@pytest.mark.parametrize("columns", [20, 40])
def test_in_a_narrow_terminal_a_row_is_a_record_and_nothing_is_lost(
    capsys: pytest.CaptureFixture[str], terminal: Any, columns: int
) -> None:
    terminal(columns)
    tables.show(HEADINGS, ROWS)
    out = _plain(capsys.readouterr().out)
    assert max(map(len, out.splitlines())) <= columns
    assert "…" not in out
    squeezed = re.sub(r"\s", "", out)
    for booking_id, status, seats in ROWS:
        assert f"booking{booking_id}status{status}seats{seats}" in squeezed


def test_the_name_of_a_member_is_never_taken_for_a_status(capsys: pytest.CaptureFixture[str], terminal: Any) -> None:
    terminal(20)
    tables.show(("event", "confirmed"), [("x" * 30, 9)])
    assert "\x1b[32m" not in capsys.readouterr().out


def test_a_table_that_folds_keeps_its_columns_in_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], terminal: Any
) -> None:
    terminal(40)
    tables.show(("", "redis", "postgres"), [("user", "a" * 50, "b" * 50)], folds=True)
    out = _plain(capsys.readouterr().out)
    assert max(map(len, out.splitlines())) <= 40
    assert (out.count("a"), out.count("b")) == (50, 50)


def test_what_a_terminal_would_obey_and_what_rich_would_is_shown_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    tables.line("[red]name[/red]", "a\x1b[31mb", "\u202ec", ":smile:", None)
    assert capsys.readouterr().out == "[red]name[/red]  a\ufffd[31mb  \ufffdc  :smile:  -\n"


def test_a_line_is_one_line_however_long(capsys: pytest.CaptureFixture[str], terminal: Any) -> None:
    terminal(40)
    tables.line("x" * 100, "y")
    assert capsys.readouterr().out.count("\n") == 1
