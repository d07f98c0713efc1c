"""The runbook names every question that can be asked, every finding, and nothing that is not there."""

import re
from typing import get_args

from app.services.reconcile import Code
from dev.process import ROOT

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()


def test_it_names_every_question_and_no_other() -> None:
    asked = set(re.findall(r"(\w+)\.sql\b", RUNBOOK))
    assert asked == {path.stem for path in (ROOT / "sql" / "reconcile").glob("*.sql")}


def test_it_tells_of_every_finding_of_reconcile() -> None:
    assert [code for code in get_args(Code) if f"`{code}`" not in RUNBOOK] == []
