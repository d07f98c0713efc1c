"""k6: from the PATH, or built once through the Go toolchain, outside the checkout."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from dev import locks, steps
from dev.errors import DevError

VERSION = "v1.8.1"
_BUILD_TIMEOUT_S = 1800.0  # three minutes on two idle cores


def find(say: Callable[[str], None]) -> Path:
    """The program. Raises DevError, with one sentence that says how to get it."""
    if present := shutil.which("k6"):
        return Path(present)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "holdfast"
    built = cache / f"k6-{VERSION}" / "k6"
    if built.exists():
        return built
    go = shutil.which("go")
    if go is None:
        raise DevError(f"k6 is not installed: put k6 {VERSION} on the PATH, or Go, and it is built once.")
    cache.mkdir(parents=True, exist_ok=True)
    with locks.alone(
        cache / "k6.lock", _BUILD_TIMEOUT_S, f"Another make has been building k6 for {_BUILD_TIMEOUT_S:g} s."
    ):
        if not built.exists():
            say(f"building k6 {VERSION}, once (some minutes)")
            fresh = built.parent.with_suffix(".new")
            steps.run(
                [go, "install", f"go.k6.io/k6@{VERSION}"],
                log=cache / "k6.log",
                cwd=cache,
                environment={**os.environ, "GOBIN": str(fresh)},
                timeout_s=_BUILD_TIMEOUT_S,
            )
            built.parent.mkdir(exist_ok=True)
            (fresh / "k6").replace(built)
            fresh.rmdir()
    return built
