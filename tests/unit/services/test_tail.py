"""Following the history: a transaction may take its numbers first and commit last."""

from collections.abc import Sequence

from app.domain.model import Happened
from app.services import tail
from app.services.tail import Tail


class Log:
    """Holds the lines that have been committed so far."""

    def __init__(self) -> None:
        self.committed: set[int] = set()
        self.asked: list[tuple[int, tuple[int, ...]]] = []

    def seek(self, since_ms: int | None) -> int:
        return max(self.committed, default=0)

    def read(self, after: int, missing: Sequence[int], limit: int) -> list[Happened]:
        self.asked.append((after, tuple(missing)))
        late = self.committed & set(missing)
        return [line(n) for n in sorted(late | set(sorted(n for n in self.committed if n > after)[:limit]))]


def line(number: int) -> Happened:
    return Happened(number, "b", "e", "z", "ann", 1, "reserved", "reserve", 0)


def numbers(lines: Sequence[Happened]) -> list[int]:
    return [each.number for each in lines]


def test_each_line_is_told_once_and_in_order() -> None:
    log = Log()
    following = Tail(log, after=0)
    log.committed = {1, 2}
    assert numbers(following()) == [1, 2]
    assert numbers(following()) == []
    log.committed |= {3}
    assert numbers(following()) == [3]


def test_a_line_whose_transaction_commits_after_a_later_one_is_told_late_and_once() -> None:
    log = Log()
    following = Tail(log, after=0)
    log.committed = {1, 4}
    assert numbers(following()) == [1, 4]
    log.committed |= {2, 5}
    assert numbers(following()) == [2, 5]
    log.committed |= {3}
    assert numbers(following()) == [3]
    assert numbers(following()) == []


def test_a_number_that_was_never_used_is_asked_for_a_minute_and_no_longer() -> None:
    log, now = Log(), [0.0]
    following = Tail(log, after=0, clock=lambda: now[0])
    log.committed = {2}
    following()
    now[0] = 59
    following()
    assert log.asked[-1] == (2, (1,))
    now[0] = 61
    following()
    following()
    assert log.asked[-1] == (2, ())


def test_what_is_missing_is_bounded_however_wide_the_gaps() -> None:
    log = Log()
    following = Tail(log, after=0)
    for top in (10**9, 2 * 10**9):
        log.committed = {top}
        following()
    following()
    assert len(log.asked[-1][1]) == 1_000
    assert min(log.asked[-1][1]) > 10**9


def test_a_page_is_bounded_and_the_next_goes_on_where_it_ended() -> None:
    log = Log()
    following = Tail(log, after=0)
    log.committed = set(range(1, tail.PAGE + 11))
    assert numbers(following()) == list(range(1, tail.PAGE + 1))
    assert numbers(following()) == list(range(tail.PAGE + 1, tail.PAGE + 11))
