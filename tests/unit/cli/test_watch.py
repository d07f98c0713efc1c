"""What an operator looks at, with no store in reach."""

import click
import pytest

from app.cli import watch
from app.cli.watch import Since
from app.domain.errors import refusal
from tests.unit.api.canned import Verb


def test_an_outage_is_told_and_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert watch._next(Verb(refusal("SERVICE_UNAVAILABLE", "Postgres cannot answer now"))) == []
    assert capsys.readouterr().err == "Postgres cannot answer now; asking again\n"


def test_since_is_so_long_ago_or_a_time_with_its_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_000_000.0)
    since = Since()
    assert since.convert("90s", None, None) == 999_910_000
    assert since.convert("10m", None, None) == 999_400_000
    assert since.convert("2h", None, None) == 992_800_000
    assert since.convert("1d", None, None) == 913_600_000
    assert since.convert("1970-01-01T02:00:01+02:00", None, None) == 1_000
    for wrong in ("yesterday", "10", "-1s", "2026-08-01T20:00:00", ""):
        with pytest.raises(click.BadParameter):
            since.convert(wrong, None, None)
