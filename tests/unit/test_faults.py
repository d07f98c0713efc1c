"""The page of faults names tests that are there, and every test of tests/faults."""

import re

from dev.process import ROOT

PAGE = (ROOT / "docs" / "faults.md").read_text()
NAMED = set(re.findall(r"`(test_\w+)`", PAGE))


def _tests(directory: str) -> set[str]:
    files = (ROOT / directory).rglob("test_*.py")
    return {name for path in files for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)}


def test_every_test_that_the_page_names_is_there() -> None:
    assert NAMED - _tests("tests") == set()


def test_every_test_of_faults_is_on_the_page() -> None:
    assert _tests("tests/faults") - NAMED == set()
