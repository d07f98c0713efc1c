"""Who a process is, beyond a number that the system will give to somebody else."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

# In the environment of everything we start: finds the children of a process that is itself already gone.
MARK = "HOLDFAST_DEV_PROCESS"


def birth(pid: int) -> str | None:
    """When the process was born, in a form that no other process can share; None when there is no such process.

    On Linux in ticks since boot, because psutil's creation time moves when the clock is set.
    """
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}/{ticks}"
    except OSError:
        pass
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return None


@dataclass(frozen=True, slots=True)
class Identity:
    """What a pid file holds."""

    pid: int
    born: str
    mark: str

    def write(self, file: Path) -> None:
        temporary = file.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(file)

    @classmethod
    def read(cls, file: Path) -> "Identity | None":
        """None when the file is missing or is not ours."""
        try:
            return cls(**json.loads(file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def process(self) -> psutil.Process | None:
        """The process, if it still runs and is not a stranger that was given the same pid."""
        if birth(self.pid) != self.born:
            return None
        try:
            process = psutil.Process(self.pid)
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.NoSuchProcess:
            return None

    def leftovers(self) -> list[psutil.Process]:
        """Processes that carry our mark: what the process started, even after its own end."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.Error, OSError):  # gone, or another user's: then it is not ours
                continue
        return found
