"""Processor time of processes, from /proc: what a request costs is told by it, whatever else the machine does."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
Roots = Mapping[str, Sequence[int]]
"""Role -> the processes at the head of its trees."""
Seconds = dict[str, float]
"""Role -> user and system time, seconds."""


def used(roots: Roots) -> Seconds:
    """So far, of each role's processes and all their children, those that have ended included."""
    return {role: sum(_of_tree(pid) for pid in pids) for role, pids in roots.items()}


def since(before: Mapping[str, float], now: Mapping[str, float]) -> Seconds:
    """What was used between the two."""
    return {role: max(0.0, now[role] - before.get(role, 0.0)) for role in now}


def of_the_machine() -> float:
    """Seconds that all its cores together have worked so far, for whomever."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - times.iowait - times.guest - times.guest_nice  # guests' is in user and nice


def idle(roots: Roots, seconds: float = 2.0) -> dict[str, float]:
    """Role -> ms of processor time in a second with nothing to do: at low rates a part of what a request costs."""
    before = used(roots)
    time.sleep(seconds)
    return {role: spent * 1e3 / seconds for role, spent in since(before, used(roots)).items()}


def own_memory(roots: Roots) -> dict[str, dict[int, int]]:
    """Role -> process -> memory of its own, bytes: what they share with others counts in part, files and shared
    buffers not at all."""
    return {role: {pid: _own(pid) for root in pids for pid in _tree(root)} for role, pids in roots.items()}


def _of_tree(root: int) -> float:
    return sum(_ticks(pid) for pid in _tree(root)) / _TICKS_PER_S


def _tree(root: int) -> list[int]:
    try:
        process = psutil.Process(root)
        return [root, *(child.pid for child in process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def _ticks(pid: int) -> int:
    """utime, stime, and those of children that were waited for (fields 14 to 17 of stat)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(map(int, stat.rpartition(")")[2].split()[11:15]))


def _own(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss_Anon:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0
