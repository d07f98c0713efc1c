"""Which account a server runs under. PostgreSQL refuses to run as root, so there it runs as Debian's `postgres`."""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.errors import DevError


@dataclass(frozen=True, slots=True)
class Account:
    """Another user to run as; None in its place means ourselves."""

    uid: int
    gid: int

    def popen_arguments(self) -> dict[str, Any]:
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can_enter(self, directory: Path) -> bool:
        """May this user pass through every directory down to this one?"""
        done = subprocess.run(["test", "-x", str(directory)], cwd="/", check=False, **self.popen_arguments())
        return done.returncode == 0


def unprivileged() -> Account | None:
    """The account for what refuses root: None unless we are root. Raises DevError when there is none."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise DevError("PostgreSQL does not run as root, and this machine has neither a user postgres nor a user nobody.")


def private_directory(path: Path, account: Account | None) -> None:
    """Make the directory (not its parents) readable by its owner alone."""
    path.mkdir(mode=0o700, exist_ok=True)
    if account is not None:
        shutil.chown(path, account.uid, account.gid)
    path.chmod(0o700)
