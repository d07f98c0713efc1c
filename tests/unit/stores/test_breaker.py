from dataclasses import dataclass, field

import pytest

from app.domain.errors import Refusal
from app.stores.breaker import Breaker


class Silent(Exception):
    """No answer came."""


@dataclass
class Server:
    """Behind a breaker that opens at the third failure and admits a probe each second of the test's clock."""

    silent: bool = False
    seconds: float = 0.0
    calls: int = 0
    changes: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.breaker = Breaker("Redis", 3, 1.0, self.changes.append, lambda: self.seconds)

    def call(self, error: Exception | None = None) -> str:
        try:
            with self.breaker.watching(lambda error: isinstance(error, Silent)):
                self.calls += 1
                if self.silent or error:
                    raise error or Silent
        except Refusal as refused:
            return refused.kind.code
        except Exception as raised:
            return type(raised).__name__
        return "answered"


@pytest.fixture
def server() -> Server:
    return Server()


def test_it_opens_after_so_many_failures_in_a_row_and_then_refuses_without_a_call(server: Server) -> None:
    server.silent = True
    assert [server.call() for _ in range(5)] == ["Silent"] * 3 + ["SERVICE_UNAVAILABLE"] * 2
    assert server.calls == 3
    assert server.changes == [True]


def test_a_success_between_failures_keeps_it_closed(server: Server) -> None:
    for _ in range(3):
        server.silent = True
        assert [server.call() for _ in range(2)] == ["Silent"] * 2
        server.silent = False
        assert server.call() == "answered"
    assert server.changes == []


def test_an_error_that_is_an_answer_never_opens_it(server: Server) -> None:
    assert [server.call(ValueError()) for _ in range(10)] == ["ValueError"] * 10
    assert server.changes == []


def test_one_probe_a_second_is_let_through_and_its_success_closes_it(server: Server) -> None:
    server.silent = True
    for _ in range(3):
        server.call()
    server.seconds = 1.0
    assert [server.call() for _ in range(3)] == ["Silent", "SERVICE_UNAVAILABLE", "SERVICE_UNAVAILABLE"]
    server.silent, server.seconds = False, 1.9
    assert server.call() == "SERVICE_UNAVAILABLE"
    server.seconds = 2.0
    assert [server.call() for _ in range(2)] == ["answered"] * 2
    assert server.changes == [True, False]
