"""A web process with scripts altered, for controls: `gunicorn tests.support.altered_web:app`.

`ALTERED` holds the alterations as JSON: (script, old, new) each."""

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from dev.gunicorn import Gunicorn

Alteration = tuple[str, str, str]
_for_good: Final = ExitStack()


class AlteredWeb(Gunicorn):
    """gunicorn with this module's application."""

    def __init__(self, directory: Path, settings: Mapping[str, str], *altered: Alteration) -> None:
        super().__init__(directory, {**settings, "ALTERED": json.dumps(altered)})

    def command(self) -> list[str]:
        return [*super().command()[:-1], "tests.support.altered_web:app"]


def _application() -> Any:
    from app.factory import create_app
    from tests.support.controls import altered_script

    for name, old, new in json.loads(os.environ["ALTERED"]):
        _for_good.enter_context(altered_script(name, old, new))
    return create_app()


if "ALTERED" in os.environ:  # not where a test takes its names from here
    app = _application()
