"""Redis comes back without its last moments, is replaced by one that knew less, or forgets again while it is filled:
real servers, real files, real replication. What Postgres had, and what the outbox still holds, is true."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.domain.errors import Refusal
from app.domain.ids import shard_of_event
from app.domain.model import Booking, Seats
from app.wiring import Wiring, build_worker
from dev.proxy import Proxy
from dev.redis import Redis
from tests.support import forgetful
from tests.support.seats import HOLD_SECONDS, Clock, Sale, open_sale, settings


@pytest.fixture(scope="module")
def servers(session_directory: Path) -> Iterator[tuple[Redis, Redis]]:
    """Two servers; what they have answered is in their files."""
    durable = {"appendfsync": "always", "repl-diskless-sync-delay": "0"}
    one, two = (Redis(session_directory / f"redis-forgetful-{n}", durable) for n in (1, 2))
    for server in (one, two):
        server.start()
    for server in (one, two):
        server.wait_until_ready()
    yield one, two
    for server in (one, two):
        server.erase()


@pytest.fixture(scope="module")
def line(servers: tuple[Redis, Redis]) -> Iterator[Proxy]:
    """The way to Redis."""
    with Proxy(servers[0].port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def shop(servers: tuple[Redis, Redis], line: Proxy, database: str) -> Iterator[Wiring]:
    shop = replace(build_worker(settings(database, line.url(servers[0].url))), now=Clock())
    shop.start()
    yield shop
    shop.close()


@pytest.fixture
def sale(shop: Wiring, servers: tuple[Redis, Redis], line: Proxy) -> Sale:
    """Ten seats, on the first server."""
    for server in servers:
        server.start()
        server.wait_until_ready()
        forgetful.promote(server)
        forgetful.empty(server)
    line.lead_to(servers[0].port)
    line.cut()
    assert isinstance(shop.now, Clock)
    sale = open_sale(shop, shop.now, hold_seconds_max=HOLD_SECONDS * 3)
    reopen(sale)
    return sale


def _shard(sale: Sale) -> int:
    return shard_of_event(sale.event_id, len(sale.shop.shards))


def reopen(sale: Sale, shop: Wiring | None = None) -> None:
    """As whoever meets the closed shard; the other shards of the event stay closed."""
    shop = shop or sale.shop
    assert shop.rebuild()(_shard(sale))
    shop.epochs.refresh()


def _released(sale: Sale, booking: Booking) -> None:
    sale.shop.release("ann", booking.booking_id)


def _confirmed(sale: Sale, booking: Booking) -> None:
    sale.shop.confirm("ann", booking.booking_id, "card")


def _extended(sale: Sale, booking: Booking) -> None:
    sale.shop.extend("ann", booking.booking_id, "later")


def _cancelled(sale: Sale, booking: Booking) -> None:
    sale.shop.cancel("ann", booking.booking_id, None)


def _extensions(sale: Sale, booking: Booking) -> int:
    return (sale.shop.get("ann", booking.booking_id).deadline_ms - booking.deadline_ms) // (HOLD_SECONDS * 1000)


# verb, was it done before the file's last second, and what holds afterwards: status, held, confirmed, extensions
CUTS = [
    (_released, False, ("reserved", 4, 0, 0)),  # void: nobody else has heard of it
    (_released, True, ("released", 0, 0, 0)),
    (_confirmed, False, ("confirmed", 0, 4, 0)),
    (_confirmed, True, ("confirmed", 0, 4, 0)),
    (_extended, False, ("reserved", 4, 0, 0)),
    (_extended, True, ("reserved", 4, 0, 1)),
    (_cancelled, False, ("cancelled", 0, 0, 0)),
    (_cancelled, True, ("cancelled", 0, 0, 0)),
]


@pytest.mark.parametrize(
    ("verb", "kept", "then"),
    CUTS,
    ids=[f"cut {'after' if kept else 'before'} it is {verb.__name__[1:]}" for verb, kept, _ in CUTS],
)
def test_a_file_whose_last_second_was_cut_off(
    sale: Sale,
    servers: tuple[Redis, Redis],
    verb: Callable[[Sale, Booking], None],
    kept: bool,
    then: tuple[object, ...],
) -> None:
    server = servers[0]
    booking = sale.reserve("ann", 4, idempotency_key="k").booking
    if verb is _cancelled:
        _confirmed(sale, booking)
    sale.record()
    before = forgetful.file_size(server)
    verb(sale, booking)
    after = forgetful.file_size(server)
    sale.reserve("bob", 3)  # in the last second, in either case
    forgetful.restart_cut_off(server, after + 20 if kept else before + 20 if before < after else before)
    sale.refused("SERVICE_UNAVAILABLE", sale.reserve, "cid")
    reopen(sale)
    seats = sale.seats()
    seen = sale.shop.get("ann", booking.booking_id)
    extensions = _extensions(sale, booking) if seen.status == "reserved" else 0
    assert (seen.status, seats.held, seats.confirmed, extensions) == then
    assert seats.available == 10 - seats.held - seats.confirmed
    assert sale.reserve("ann", 4, idempotency_key="k").booking.booking_id == booking.booking_id
    _what_may_come_next(sale, booking, seen.status)
    assert not sale.shop.reconcile(sale.event_id).findings


def _what_may_come_next(sale: Sale, booking: Booking, status: str) -> None:
    """Seats are credited once, and a confirmation is found again."""
    if status == "reserved":
        _released(sale, booking)
    elif status == "confirmed":
        assert sale.shop.confirm("ann", booking.booking_id, "card").status == "confirmed"
        _cancelled(sale, booking)
    refused = sale.refused("RESERVATION_NOT_FOUND", sale.shop.release, "ann", booking.booking_id)
    assert refused.extensions["reason"] == ("cancelled" if status in ("confirmed", "cancelled") else "released")
    assert sale.seats().available == 10
    sale.record()


def test_a_stale_replica_that_is_promoted_is_closed_and_filled_with_what_it_missed(
    sale: Sale, servers: tuple[Redis, Redis], line: Proxy
) -> None:
    master, replica = servers
    early = sale.reserve("ann", 2).booking.booking_id
    forgetful.follow(replica, master)
    replica.pause()  # it hears no more
    sold = sale.reserve("bob", 3).booking.booking_id
    sale.shop.confirm("bob", sold, None)
    sale.shop.release("ann", early)
    sale.record()
    master.kill()
    replica.resume()
    forgetful.promote(replica)
    line.lead_to(replica.port)
    sale.refused("SERVICE_UNAVAILABLE", sale.reserve, "cid")
    reopen(sale)
    assert sale.seats() == Seats(capacity=10, confirmed=3, held=0, available=7)
    assert sale.shop.get("ann", early).status == "released"
    sale.reserve("cid", 7)
    sale.refused("INSUFFICIENT_SEATS", sale.reserve, "dan")


def test_a_replica_that_is_not_promoted_yet_says_503_and_sells_when_it_is(
    sale: Sale, servers: tuple[Redis, Redis], line: Proxy
) -> None:
    forgetful.follow(servers[1], servers[0])
    line.lead_to(servers[1].port)
    line.cut()
    for verb in (sale.reserve, sale.seats, lambda: sale.shop.rebuild()(_shard(sale))):
        sale.refused("SERVICE_UNAVAILABLE", verb)
    forgetful.promote(servers[1])
    reopen(sale)
    sale.reserve()


def test_a_master_that_took_over_what_a_stale_replica_had_is_found_out_by_its_seq(
    sale: Sale, servers: tuple[Redis, Redis], line: Proxy
) -> None:
    """The same process, the same run_id, the same epoch: it only knows less than it did."""
    master, replica = servers
    sale.reserve("ann")
    forgetful.follow(replica, master)
    forgetful.promote(replica)
    sale.reserve("bob", 9)
    sale.record()
    forgetful.follow(master, replica)
    forgetful.promote(master)
    assert sale.seats().held == 1, "nothing else tells"
    assert "is behind" in sale.shop.audit(_shard(sale))
    sale.refused("SERVICE_UNAVAILABLE", sale.reserve, "cid")
    reopen(sale)
    assert sale.seats() == Seats(capacity=10, confirmed=0, held=10, available=0)


@pytest.fixture
def other(sale: Sale, servers: tuple[Redis, Redis], line: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wiring]:
    """A process that starts when the second server has taken over, and fills it. Whoever was connected to the first
    one is connected still: it is alive, and nothing has ended that connection. Nor does it hear of the new epochs,
    which it would within a second, before `monkeypatch` lets it."""
    known = sale.shop.ledger.epochs()
    monkeypatch.setattr(sale.shop.epochs, "_read", lambda: known)
    sale.reserve("ann", 2, idempotency_key="k")
    sale.record()
    servers[0].pause()
    line.lead_to(servers[1].port)
    other = replace(build_worker(sale.shop.settings), now=sale.clock)
    other.start()
    reopen(sale, other)
    servers[0].resume()
    yield other
    other.close()


def test_an_old_server_that_comes_back_alive_is_left_for_the_new_one(
    sale: Sale, other: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    void = sale.reserve("bob", 8).booking.booking_id  # of the old server, by a process that has not heard of it yet
    sale.refused("SERVICE_UNAVAILABLE", sale.shop.confirm, "bob", void, None)
    monkeypatch.undo()
    sale.shop.epochs.refresh()
    sale.refused("SERVICE_UNAVAILABLE", sale.reserve, "cid")  # by the old server, for the last time
    sale.shop.reopen()  # what a web process that has met a closed shard does every second
    sale.reserve("cid", 8)
    assert sale.reserve("ann", 2, idempotency_key="k").replayed
    assert sale.seats() == Seats(capacity=10, confirmed=0, held=10, available=0)
    sale.refused("RESERVATION_NOT_FOUND", sale.shop.confirm, "bob", void, None)


def test_an_old_server_that_comes_back_alive_is_not_filled_by_whoever_still_reaches_it(
    sale: Sale, other: Wiring
) -> None:
    epoch = other.epochs.of(_shard(sale))
    assert sale.shop.rebuild()(_shard(sale)), "it is open, where it is now"
    assert other.ledger.epochs()[_shard(sale)] == epoch


@pytest.mark.parametrize("line_of_rebuild", ["survivors", "shard_image", "install", "flip"])
def test_redis_that_forgets_again_at_any_line_of_its_rebuild_stays_closed_until_the_next(
    sale: Sale, servers: tuple[Redis, Redis], line_of_rebuild: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale.reserve("ann", 3)
    sale.record()
    forgetful.empty(servers[0])
    rebuild = sale.shop.rebuild()
    owner = type(rebuild.ledger if line_of_rebuild == "shard_image" else rebuild.reservations)
    step = getattr(owner, line_of_rebuild)

    def forget(*arguments: object) -> object:
        forgetful.empty(servers[0])
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, line_of_rebuild, forget)
        sale.refused("SERVICE_UNAVAILABLE", rebuild, _shard(sale))
    sale.refused("SERVICE_UNAVAILABLE", sale.reserve, "bob")
    reopen(sale)
    assert sale.seats() == Seats(capacity=10, confirmed=0, held=3, available=7)


@pytest.mark.parametrize("kind", ["hold request", "hold answer"])
def test_a_confirm_that_stalls_across_a_rebuild_is_refused_or_has_been_done(
    sale: Sale, servers: tuple[Redis, Redis], database: str, kind: str
) -> None:
    """Held before it reaches Postgres: its epoch is over by then. Held after its commit: the image has it."""
    booking_id = sale.reserve("ann", 2).booking.booking_id
    sale.record()
    port = urlsplit(database).port
    assert port
    with Proxy(port) as to_postgres:
        stalled = build_worker(settings(to_postgres.url(database), servers[0].url, postgres_timeout_ms=20_000))
        stalled.start()
        fault = to_postgres.meet(b"booking.confirm_bookings(", kind)  # type: ignore[arg-type]
        answers: list[str] = []
        caller = threading.Thread(target=lambda: answers.append(_outcome(stalled, booking_id)))
        caller.start()
        fault.wait()
        forgetful.empty(servers[0])
        reopen(sale)
        then = sale.shop.get("ann", booking_id).status
        fault.release()
        caller.join(20)
        stalled.close()
    seats = sale.seats()
    expected = ("confirmed", "confirmed", 2) if kind == "hold answer" else ("reserved", "SERVICE_UNAVAILABLE", 0)
    assert (then, answers[0], seats.confirmed) == expected
    assert sale.shop.confirm("ann", booking_id, None).status == "confirmed"
    assert sale.seats() == Seats(capacity=10, confirmed=2, held=0, available=8)


def _outcome(shop: Wiring, booking_id: str) -> str:
    try:
        return str(shop.confirm("ann", booking_id, None).status)
    except Refusal as refused:
        return refused.kind.code
