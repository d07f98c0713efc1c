"""What the history of one booking may be (rules 3.1, 3.7 and 3.12): one judge for schedules and for storms."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

SETTLED: Final = ("confirmed", "cancelled", "released", "expired")
"""The states that the public is told of."""


@dataclass(frozen=True, order=True)
class Transition:
    """A row of history. `late`: it was recorded when its epoch was over; Redis had forgotten it by then."""

    epoch: int
    version: int
    status: str
    cause: str
    late: bool = False

    def __str__(self) -> str:
        return f"{self.epoch}.{self.version} {self.status} ({self.cause}{', late' if self.late else ''})"


def wrong_with(history: Iterable[Transition], status: str) -> str:
    """Why this cannot have happened to a booking that is `status` now; "" if it can."""
    rows = sorted(history)
    if not rows or (rows[0].status, rows[0].version) != ("reserved", 1):
        return "it does not begin with its reservation"
    if [row.cause for row in rows].count("reserve") > 1:
        return "it was reserved twice"
    for before, row in pairwise(rows):
        if row.status == "cancelled" and before.status != "confirmed":
            return "it was cancelled, and had not been confirmed"
    for number, row in enumerate(rows):
        if row.status in SETTLED and (again := [later for later in rows[number + 1 :] if not _may_follow(row, later)]):
            return f"ended twice: {row}, and then {again[0]}"
    settled = {row.status for row in rows} & set(SETTLED)
    if status not in (settled or {"reserved"}) or (status == "confirmed" and "cancelled" in settled):
        return f"it is {status}, and came to {sorted(settled)}"
    return ""


def _may_follow(end: Transition, row: Transition) -> bool:
    """An end of which only Redis knew when it was lost is void: the rebuild made the reservation live again. What
    Postgres has decided, or had heard of before the rebuild, stands."""
    if end.status == "confirmed":
        return row.status == "cancelled"
    return end.late and end.cause in ("release", "expire") and row.epoch > end.epoch
