"""The connection to Redis that all greenlets share, on a real Redis that is paused, killed and made to forget."""

import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha1
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event
from gevent.monkey import get_original

from app.domain.errors import Refusal
from app.stores import lua
from app.stores.breaker import Breaker
from app.stores.lua import Redis as Client
from app.stores.scripts import Script
from dev.redis import Redis
from tests.support import servers
from tests.support.controls import goes_red

TIMEOUT_S = 0.5
TEXTS = {
    "echo": "return { ARGV[2], ARGV[1] }",
    "count": 'return { redis.call("INCR", KEYS[1]), ARGV[1] }',
    "counted": 'return { tonumber(redis.call("GET", KEYS[1]) or 0) }',
    "slow": """
local time = redis.call("TIME")
local ends = time[1] * 1000 + time[2] / 1000 + tonumber(ARGV[2])
repeat time = redis.call("TIME") until time[1] * 1000 + time[2] / 1000 > ends
return { "slow" }""",
    "replica": 'return redis.error_reply("READONLY it only reads")',
}


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {name: Script(name, text, sha1(text.encode()).hexdigest()) for name, text in TEXTS.items()}
    monkeypatch.setattr(lua, "script", known.__getitem__)


@pytest.fixture(scope="module")
def server(session_directory: Path) -> Iterator[Redis]:
    with servers.started(Redis(session_directory / "redis-of-the-pipe")) as server:
        yield server


@pytest.fixture
def client(server: Redis, request: pytest.FixtureRequest) -> Iterator[Client]:
    others = {"calls_max": 1000, "failures": 0, **getattr(request, "param", {})}
    breaker = Breaker("Redis", others.pop("failures"), 0.1)
    client = Client(server.url, 4, TIMEOUT_S, breaker, **others)
    yield client
    client.close()
    server.resume()


def _run(client: Client, name: str, argument: object = "", key: str = "k") -> list[Any]:
    return client.run(name, key, lambda run_id: (run_id, str(argument)))


def _all(count: int, ask: Callable[[int], Any]) -> list[Any]:
    """What each of `count` greenlets got, refusals included."""

    def one(number: int) -> Any:
        try:
            return ask(number)
        except Refusal as refused:
            return refused

    greenlets = [gevent.spawn(one, number) for number in range(count)]
    gevent.joinall(greenlets, timeout=30, raise_error=True)
    return [greenlet.value for greenlet in greenlets]


def _codes(answers: list[Any]) -> set[str]:
    return {answer.kind.code if isinstance(answer, Refusal) else "answered" for answer in answers}


def test_a_process_that_was_stopped_takes_the_answers_that_came_meanwhile(client: Client) -> None:
    """Longer than a call may take, and longer than a silent server is kept: not the server was late."""
    _run(client, "echo", "connects")
    for turns, seconds in itertools.product((1, 2), (TIMEOUT_S * 1.3, TIMEOUT_S * 2.5)):
        calls = [gevent.spawn(_run, client, "echo", number) for number in range(3)]
        for _ in range(turns):  # they ask; it goes out
            gevent.sleep(0)
        get_original("time", "sleep")(seconds)  # of the thread, and so of the loop
        assert [call.get()[0] for call in calls] == ["0", "1", "2"]


def test_each_of_many_greenlets_gets_its_own_answers(client: Client) -> None:
    def ask(number: int) -> list[str]:
        return [_run(client, "echo", f"{number}-{turn}")[0] for turn in range(100)]

    assert _all(64, ask) == [[f"{number}-{turn}" for turn in range(100)] for number in range(64)]


def test_what_is_larger_than_a_write_arrives_whole(client: Client) -> None:
    texts = [chr(ord("a") + number) * 1_500_000 for number in range(8)]
    assert [answer[0] for answer in _all(8, lambda number: _run(client, "echo", texts[number]))] == texts


def test_a_script_that_the_server_has_forgotten_is_sent_again_and_runs_once(client: Client) -> None:
    before = _run(client, "counted", key="healing")[0]
    for _ in range(3):
        client.command("SCRIPT", "FLUSH")
        _all(20, lambda number: _run(client, "count", key="healing"))
    assert _run(client, "counted", key="healing")[0] == before + 60


def test_a_call_that_is_given_up_keeps_its_place_and_shifts_nobodys_answer(client: Client) -> None:
    _run(client, "echo")

    def late(number: int) -> list[Any]:
        if number == 0:
            return _run(client, "slow", 700)
        gevent.sleep(0.3)  # behind the slow one, and answered within their own time
        return _run(client, "echo", number)

    connections = _connections(client)
    slow, *others = _all(30, late)
    assert slow.kind.code == "SERVICE_UNAVAILABLE"
    assert [answer[0] for answer in others] == [str(number) for number in range(1, 30)]
    assert _connections(client) == connections


def test_without_places_answers_are_taken_for_anothers(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control."""
    from app.stores.pipe import Link

    look = Link._look

    def forgetting(link: Any) -> None:
        look(link)
        for call in [call for call in link._calls if call.greenlet is None]:
            link._calls.remove(call)

    monkeypatch.setattr(Link, "_look", forgetting)
    with goes_red(r"'1'|SERVICE|Refusal|answer"):
        test_a_call_that_is_given_up_keeps_its_place_and_shifts_nobodys_answer(client)


def test_a_greenlet_that_something_else_wakes_goes_on_waiting_for_its_own_answer(client: Client) -> None:
    _run(client, "echo")
    waiting = [gevent.spawn(_run, client, "slow", 100), *(gevent.spawn(_run, client, "echo", n) for n in range(20))]
    gevent.sleep(0.02)
    for one in waiting:
        gevent.get_hub().loop.run_callback(one.switch, ["nonsense"])
    gevent.joinall(waiting, timeout=5, raise_error=True)
    assert [one.value[0] for one in waiting] == ["slow", *(str(number) for number in range(20))]


def test_a_greenlet_that_is_ended_while_it_waits_takes_no_answer_with_it(client: Client) -> None:
    _run(client, "echo")
    waiting = [gevent.spawn(_run, client, "slow", 100), *(gevent.spawn(_run, client, "echo", n) for n in range(20))]
    gevent.sleep(0.02)
    for ended in waiting[1::2]:
        ended.kill()
    gevent.joinall(waiting, timeout=5, raise_error=True)
    assert [alive.value[0] for alive in waiting[2::2]] == [str(number) for number in range(1, 20, 2)]
    assert _run(client, "echo", "after")[0] == "after"


def test_a_server_that_hangs_is_given_up_in_time_and_what_it_says_late_is_thrown_away(
    client: Client, server: Redis
) -> None:
    _run(client, "echo")
    server.pause()
    since = time.monotonic()
    assert _codes(_all(50, lambda number: _run(client, "echo", "before"))) == {"SERVICE_UNAVAILABLE"}
    assert time.monotonic() - since < 20 * TIMEOUT_S
    server.resume()
    answers = _all(50, lambda number: _run(client, "echo", number))
    assert [answer[0] for answer in answers] == [str(number) for number in range(50)]


def test_a_server_that_has_been_silent_for_long_is_left_for_a_new_connection(client: Client, server: Redis) -> None:
    _run(client, "echo")
    first = _connections(client)
    server.pause()
    _all(3, lambda number: _run(client, "count", key="unknown"))
    gevent.sleep(3 * TIMEOUT_S)
    server.resume()
    assert _run(client, "echo", "new")[0] == "new"
    assert not first & _connections(client)
    assert _run(client, "counted", key="unknown")[0] <= 3


def test_a_killed_server_fails_all_in_flight_at_once_and_nothing_is_asked_twice(client: Client, server: Redis) -> None:
    before = _run(client, "counted", key="killed")[0]
    old_run_id = _run(client, "echo")[1]
    server.pause()
    asked = [gevent.spawn(_all, 40, lambda number: _run(client, "count", key="killed"))]
    gevent.sleep(0.05)
    server.kill()
    gevent.joinall(asked, timeout=30, raise_error=True)
    assert {str(refused) for refused in asked[0].value} == {
        "SERVICE_UNAVAILABLE: Redis cannot answer now (ConnectionError)"  # and not TimeoutError
    }
    server.start()
    server.wait_until_ready()
    answers = _all(40, lambda number: _run(client, "count", key="killed"))
    assert {run_id for _, run_id in answers} == {client.run_id()} != {old_run_id}
    assert _run(client, "counted", key="killed")[0] - before in range(40, 81)


_TOGETHER = """
from gevent import monkey; monkey.patch_all()
import sys, time
import gevent
from app.domain.errors import Refusal
from app.stores.breaker import Breaker
from app.stores.lua import Redis

client = Redis(sys.argv[1], 4, 0.5, Breaker("Redis", 0, 0.1), calls_max=1000)

def ask():
    try:
        return client.run("get", "{00}:epoch", lambda run_id: (run_id, "", "", ""))[0]
    except Refusal as refused:
        return refused.kind.code

asking = [gevent.spawn(ask) for _ in range(100)]
gevent.joinall(asking, timeout=20)
print(*{each.value for each in asking})
"""


def test_all_share_one_attempt_to_connect_and_its_failure(server: Redis) -> None:
    """In a process of its own, where a greenlet that connects lets the others go on, as in the web process."""
    server.pause()  # connects, and says nothing: each attempt takes half a second, and a hundred take fifty
    try:
        told = subprocess.run(
            [sys.executable, "-c", _TOGETHER, server.url], capture_output=True, text=True, check=True, timeout=60
        )
    finally:
        server.resume()
    assert told.stdout.split() == ["SERVICE_UNAVAILABLE"]


@pytest.mark.parametrize("client", [{"calls_max": 10}], indirect=True)
def test_the_queue_has_an_end_and_who_finds_it_full_is_told_at_once(client: Client, server: Redis) -> None:
    _run(client, "echo")
    server.pause()
    try:
        waiting = gevent.spawn(_all, 10, lambda number: _run(client, "count", key="bounded"))
        gevent.sleep(0.05)
        with pytest.raises(Refusal, match="nothing was done") as refused:
            _run(client, "count", key="bounded")
        assert refused.value.kind.code == "SERVICE_UNAVAILABLE"
        waiting.join(timeout=5)
    finally:
        server.resume()
    gevent.sleep(0.1)
    assert _run(client, "counted", key="bounded")[0] <= 10


@pytest.mark.parametrize("client", [{"failures": 3}], indirect=True)
def test_the_breaker_opens_for_a_silent_server_and_closes_after_its_return(client: Client, server: Redis) -> None:
    _run(client, "echo")
    server.pause()
    try:
        _all(5, lambda number: _run(client, "echo"))
        since = time.monotonic()
        assert _codes(_all(100, lambda number: _run(client, "echo"))) == {"SERVICE_UNAVAILABLE"}
        assert time.monotonic() - since < 20 * TIMEOUT_S, "one of them is the probe, and none waits behind it"
    finally:
        server.resume()
    gevent.sleep(0.2)
    assert _run(client, "echo", "closed")[0] == "closed"


def test_a_replica_is_left_and_so_is_a_server_that_may_have_been_replaced(client: Client) -> None:
    _run(client, "echo")
    first = _connections(client)
    with pytest.raises(Refusal):
        _run(client, "replica")
    _run(client, "echo")
    second = _connections(client)
    under_way, sent = Event(), gevent.spawn(_run, client, "slow", 100)
    gevent.spawn_later(0.02, under_way.set)
    under_way.wait(5)
    client.renew()
    assert _run(client, "echo", "new")[0] == "new"
    assert sent.get(timeout=5) == ["slow"]
    assert not (first & second) | (second & _connections(client))


def _connections(client: Client) -> set[str]:
    """The ids of the connections that have run scripts."""
    told = client.command("CLIENT", "LIST").splitlines()
    fields = [dict(field.split("=", 1) for field in line.split()) for line in told]
    return {each["id"] for each in fields if each["cmd"].startswith("eval")}
