"""`python -m dev.docs`: writes the pages of docs/ that are generated. `make docs` calls it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from app.api import refusals_page
from dev.process import ROOT

PAGES: Final[Mapping[Path, Callable[[], str]]] = {ROOT / "docs" / "errors.md": refusals_page.markdown}


def main() -> None:
    for path, text in PAGES.items():
        path.write_text(text())
        print(f"{path.relative_to(ROOT)} written")


if __name__ == "__main__":
    main()
