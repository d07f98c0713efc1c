"""What the pages tell a reader to paste works as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dev import seed
from dev.stack import Stack
from tests.conftest import ADMIN_TOKEN
from tests.support import pages

# Tells the status of each call, in a file: the pages write answers to stderr, and the two would mix.
_CURL = "curl() { command curl -w '%{stderr}%{http_code} %{method} %{url}\\n' \"$@\" 2>> calls; }\nset -euo pipefail\n"


@pytest.fixture
def reader(stack: Stack) -> dict[str, str]:
    """The environment of somebody who has pasted the first block; the stack is behind a gateway."""
    told = {
        "API": f"{stack.base_url}/api/v1",
        "ME": "X-User-ID: reader",
        "ADMIN": f"Authorization: Bearer {ADMIN_TOKEN}",
        **{name: stack.settings[name] for name in ("PAYMENTS_WEBHOOK_SECRET", "STRIPE_WEBHOOK_SECRET")},
    }
    return {"PATH": os.environ["PATH"], **told}


def _paste(page: str, reader: dict[str, str], directory: Path) -> list[tuple[str, str]]:
    """(status, what was asked) of every line, in order."""
    script = _CURL + "\n".join(pages.blocks(page, "bash"))
    ended = subprocess.run(
        ["bash", "-c", script], env=reader, cwd=directory, capture_output=True, text=True, timeout=60
    )
    calls = (directory / "calls").read_text()
    assert ended.returncode == 0, ended.stderr + calls
    return re.findall(r"^(\d+) (.+)$", calls, re.MULTILINE)


def test_every_line_of_curl_is_answered_with_2xx_in_the_order_of_the_page(
    reader: dict[str, str], tmp_path: Path
) -> None:
    answers = _paste("api-by-curl.md", reader, tmp_path)
    assert len(answers) == len(pages.calls("api-by-curl.md"))
    assert [answer for answer in answers if not answer[0].startswith("2")] == []


def test_the_quickstart_works_with_curl_and_with_python(stack: Stack, reader: dict[str, str], tmp_path: Path) -> None:
    seed.demo(stack.base_url, ADMIN_TOKEN)
    answers = _paste("quickstart.md", reader, tmp_path)
    assert [status for status, _ in answers] == ["200", "201", "200", "201"]
    (program,) = pages.blocks("quickstart.md", "python")
    ended = subprocess.run([sys.executable, "-c", program], env=reader, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert re.fullmatch(r"2 seats until \S+: 300\.00 THB\nConfirmed: \S+\n", ended.stdout)
