"""Kafka's jars: fetched with Maven once per machine, checked against the checksums in this directory at each start."""

import hashlib
import os
import shutil
from pathlib import Path

from dev import locks, steps
from dev.errors import DevError

VERSION = "4.3.1"
_HERE = Path(__file__).parent
_POM = _HERE / "kafka-pom.xml"
_CHECKSUMS = _HERE / "kafka.sha256"
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_FETCH_TIMEOUT_S = 600.0
_COMPLETE = ".complete"


def cache_directory() -> Path:
    """One for all checkouts of a machine's user."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "holdfast" / f"kafka-{VERSION}"


def provide() -> Path:
    """The directory with the jars, fetched if need be. Raises DevError when they cannot be had or are wrong."""
    directory = cache_directory()
    directory.parent.mkdir(parents=True, exist_ok=True)
    path = directory.with_suffix(".lock")
    refusal = f"Somebody else has held {path} for {_FETCH_TIMEOUT_S:g} s."
    with locks.alone(path, _FETCH_TIMEOUT_S, refusal):  # two checkouts fetch once
        if _problem(directory) is None:
            return directory
        _fetch(directory)
    return directory


def _fetch(directory: Path) -> None:
    """Fetch beside the final place, and move there only what is whole and right."""
    maven = shutil.which("mvn")
    if maven is None:
        raise DevError("Kafka's jars are not here yet, and Maven (`mvn`), which fetches them, is not installed.")
    print(f"    fetching Kafka {VERSION} (44 MB, once per machine) into {directory}", flush=True)
    fresh = directory.with_suffix(f".new-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        steps.run(
            [maven, "-B", "-f", str(_POM), _PLUGIN, f"-DoutputDirectory={fresh}", "-DincludeScope=runtime"],
            log=directory.with_suffix(".log"),
            timeout_s=_FETCH_TIMEOUT_S,
        )
        problem = _problem(fresh, marked=False)
        if problem is not None:
            raise DevError(f"The jars that Maven fetched are not those of Kafka {VERSION} that we know: {problem}.")
        (fresh / _COMPLETE).touch()
        shutil.rmtree(directory, ignore_errors=True)
        fresh.rename(directory)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _problem(directory: Path, *, marked: bool = True) -> str | None:
    """What is wrong with the jars; None when they are exactly those of the checksum list."""
    if not directory.is_dir() or (marked and not (directory / _COMPLETE).exists()):
        return "incomplete"
    wanted = {name: digest for digest, name in (line.split() for line in _CHECKSUMS.read_text().splitlines())}
    found = {path.name: _digest(path) for path in directory.glob("*.jar")}
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    return None if not wrong else f"{len(wrong)} missing, unknown or changed, {wrong[0]} for one"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
