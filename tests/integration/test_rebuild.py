"""The rebuild of a shard on real servers: what Redis forgot comes back from Postgres, and nothing is sold twice.

The fault of each test is in its name; the server is a real one that is emptied, restarted or edited."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from app.domain.errors import Refusal, refusal
from app.domain.ids import shard_of_event
from app.domain.model import Seats
from app.services.rebuild import Rebuild
from app.services.reopen import Reopen
from app.stores import keys
from app.stores.rebuilding import PostgresDuty, PostgresRebuilding
from app.wiring import Wiring
from dev.redis import Redis
from tests.support.buyers import until
from tests.support.seats import HOLD_SECONDS, Sale, reopen

OpenEvent = Callable[..., Sale]


@pytest.fixture
def sale(open_event: OpenEvent) -> Iterator[Sale]:
    """Leaves its shop open, whatever the test did to it."""
    sale = open_event()
    yield sale
    reopen(sale.shop)


def _shard(sale: Sale) -> int:
    return shard_of_event(sale.event_id, len(sale.shop.shards))


def _forget_everything(sale: Sale) -> None:
    sale.shop.redis.command("FLUSHALL")


def test_a_redis_that_is_emptied_is_closed_until_it_is_rebuilt(sale: Sale) -> None:
    sale.shop.confirm("ann", sale.reserve("ann", 2).booking.booking_id, None)
    kept = sale.reserve("bob", 3, idempotency_key="k").booking
    sale.record()
    lost = sale.reserve("cy", 1).booking.booking_id  # neither Postgres nor the log has heard of it
    _forget_everything(sale)
    sale.refused("SERVICE_UNAVAILABLE", sale.reserve, "dee")
    sale.refused("SERVICE_UNAVAILABLE", sale.seats)
    reopen(sale.shop)
    assert sale.seats() == Seats(capacity=10, confirmed=2, held=3, available=5)
    assert sale.shop.get("bob", kept.booking_id).deadline_ms == kept.deadline_ms
    assert sale.reserve("bob", 3, idempotency_key="k").booking.booking_id == kept.booking_id
    sale.refused("RESERVATION_NOT_FOUND", sale.shop.confirm, "cy", lost, None)
    assert sale.shop.confirm("bob", kept.booking_id, None).status == "confirmed"
    assert sale.seats() == Seats(capacity=10, confirmed=5, held=0, available=5)


def test_rebuilt_reservations_still_expire(sale: Sale) -> None:
    sale.reserve("bob", 3)
    sale.record()
    _forget_everything(sale)
    reopen(sale.shop)
    sale.clock.advance(HOLD_SECONDS)
    assert sale.shop.expire(_shard(sale)).expired == 1
    assert sale.seats().available == 10


def test_limits_of_users_survive(open_event: OpenEvent) -> None:
    sale = open_event(max_per_user=3)
    sale.shop.confirm("ann", sale.reserve("ann", 1).booking.booking_id, None)
    sale.reserve("ann", 1)
    sale.record()
    _forget_everything(sale)
    reopen(sale.shop)
    sale.refused("MAX_TICKETS_EXCEEDED", sale.reserve, "ann", 2)
    sale.reserve("ann", 1)


def test_a_redis_that_is_restarted_is_closed_and_what_its_outbox_held_survives(sale: Sale, redis_server: Redis) -> None:
    booking_id = sale.reserve("ann", 4).booking.booking_id
    redis_server.stop()
    sale.refused("SERVICE_UNAVAILABLE", sale.reserve, "bob")
    redis_server.start()
    redis_server.wait_until_ready()
    sale.refused("SERVICE_UNAVAILABLE", sale.reserve, "bob")  # its data may be older than what we have promised
    reopen(sale.shop)
    assert sale.seats() == Seats(capacity=10, confirmed=0, held=4, available=6)
    assert sale.shop.confirm("ann", booking_id, None).status == "confirmed"


def test_a_confirm_that_was_pinned_before_the_rebuild_is_refused_after_it(sale: Sale) -> None:
    booking_id = sale.reserve().booking.booking_id
    pin = sale.shop.reservations.confirm(booking_id, "ann", None)
    _forget_everything(sale)
    reopen(sale.shop)
    (decision,) = sale.shop.ledger.confirm_bookings([pin])
    assert decision.outcome == "SERVICE_UNAVAILABLE"
    assert sale.seats().available == 10


def test_a_release_that_was_forgotten_does_not_oversell(sale: Sale) -> None:
    """Its reservation is live again in Postgres' eyes, while its seats have been sold since."""
    first = sale.reserve("ann", 10).booking.booking_id
    sale.record()
    sale.shop.release("ann", first)
    sale.shop.confirm("bob", sale.reserve("bob", 10).booking.booking_id, None)
    _forget_everything(sale)
    reopen(sale.shop)
    assert sale.seats() == Seats(capacity=10, confirmed=10, held=0, available=0)
    ended = sale.shop.get("ann", first)
    assert (ended.status, ended.cause) == ("expired", "rebuild")


def test_of_too_many_reservations_the_oldest_are_kept(sale: Sale) -> None:
    bookings = []
    for n in range(4):
        bookings.append(sale.reserve(f"user-{n}", 2).booking.booking_id)
        sale.clock.advance(1)
    sale.record()
    sale.shop.release("user-0", bookings[0])
    sale.shop.confirm("bob", sale.reserve("bob", 4).booking.booking_id, None)
    _forget_everything(sale)
    reopen(sale.shop)
    assert [sale.shop.get(f"user-{n}", b).status for n, b in enumerate(bookings)] == ["reserved"] * 3 + ["expired"]
    assert sale.seats() == Seats(capacity=10, confirmed=4, held=6, available=0)


def test_what_is_past_its_deadline_makes_room_for_what_lives(open_event: OpenEvent) -> None:
    """The recorder dies between the younger reservation's beginning and the older one's end."""
    sale = open_event(capacity=1)
    due = sale.reserve("ann").booking.booking_id
    sale.clock.advance(HOLD_SECONDS)
    live = sale.reserve("bob").booking.booking_id
    entries = sale.shop.outbox.read(_shard(sale), 500)
    sale.shop.recorder.record([e for e in entries if e["kind"] == "created" and e["booking_id"] in (due, live)])
    with sale.shop.postgres.session(5) as connection:  # the tests' clock is not Postgres'
        connection.execute("RESET ROLE")
        connection.execute("UPDATE booking.bookings SET deadline = now() WHERE booking_id = %s", [due])
    _forget_everything(sale)
    reopen(sale.shop)
    assert [sale.shop.get(user, b).status for user, b in (("ann", due), ("bob", live))] == ["expired", "reserved"]


def test_the_highest_seq_starts_anew_with_each_epoch(sale: Sale) -> None:
    for _ in range(3):
        sale.reserve()
    sale.record()
    _forget_everything(sale)
    reopen(sale.shop)
    sale.reserve()
    (entry,) = sale.shop.outbox.read(_shard(sale), 10)
    sale.record()
    rows = sale.rows("SELECT epoch, highest_seq FROM booking.shards WHERE shard = %s", _shard(sale))
    assert [f"{epoch}-{seq}" for epoch, seq in rows] == [entry["seq"]]


def test_a_rebuild_tells_how_far_it_is(sale: Sale, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(9):
        sale.reserve(f"user-{n}", idempotency_key="k")
    sale.record()
    sale.shop.release("user-0", sale.reserve("user-0").booking.booking_id)
    told: list[tuple[int, str, int]] = []
    rebuild = replace(sale.shop.rebuild(), on_progress=lambda *progress: told.append(progress))
    shard = _shard(sale)
    sale.shop.close_shard(shard)
    with caplog.at_level("INFO", "app.services.rebuild"):
        rebuild(shard)
    # A created and a released of the outbox; zones, and reservations with their keys, of this event and of others
    (rows,) = [count for _, step, count in told if step == "image"]
    assert {(shard, "recorded", 2), (shard, "image", rows), (shard, "installed", rows)} <= set(told)
    assert rows >= 10
    assert f"with {rows} rows; 0 reservations ended for want of room" in caplog.text


def test_one_rebuilds_at_a_time(sale: Sale) -> None:
    _forget_everything(sale)
    _, ledger = sale.shop._rebuilding
    with ledger.rebuild_lock(_shard(sale)) as mine:
        assert mine
        assert sale.shop.rebuild()(_shard(sale)) is False
    assert sale.shop.rebuild()(_shard(sale)) is True


def test_a_rebuild_that_is_not_needed_does_nothing(sale: Sale) -> None:
    epoch = sale.shop.epochs.of(_shard(sale))
    assert sale.shop.rebuild()(_shard(sale)) is True
    assert sale.shop.ledger.epochs()[_shard(sale)] == epoch


def test_a_rebuilder_that_was_overtaken_cannot_open_the_shard(sale: Sale) -> None:
    reservations, ledger = sale.shop._rebuilding
    shard = _shard(sale)
    run_id = reservations.freeze(shard, "slow")
    image = ledger.shard_image(shard)
    reservations.freeze(shard, "quick")
    for last_step in (
        lambda: reservations.install(shard, "slow", run_id, image.epoch, next(image.chunks)),
        lambda: reservations.flip(shard, "slow", run_id, image.epoch),
    ):
        sale.refused("SERVICE_UNAVAILABLE", last_step)
    sale.refused("SERVICE_UNAVAILABLE", sale.reserve)


def test_a_rebuilder_that_has_lost_its_lock_raises_no_epoch(sale: Sale, database: str) -> None:
    """Postgres ended its session: somebody else may have the lock since, and the shard open at the epoch of now."""
    _, ledger = sale.shop._rebuilding
    shard = _shard(sale)
    epoch = sale.shop.ledger.epochs()[shard]
    with psycopg.connect(database, autocommit=True) as owner, ledger.rebuild_lock(shard) as mine:
        assert mine
        owner.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s "
            "AND classid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [shard],
        )
        sale.refused("SERVICE_UNAVAILABLE", ledger.shard_image, shard)
    assert sale.shop.ledger.epochs()[shard] == epoch


def test_a_rebuilder_that_hangs_is_overtaken_and_one_that_says_it_lives_is_not(sale: Sale) -> None:
    """It was stopped (SIGSTOP, a machine that is moved) behind its freeze: without an end of its lock the shard would
    sell nothing until somebody kills it."""
    reservations, _ = sale.shop._rebuilding
    hanging = PostgresRebuilding(sale.shop.postgres, silence_s=0.5)
    shard = _shard(sale)
    with hanging.rebuild_lock(shard) as mine:
        assert mine
        run_id = reservations.freeze(shard, "hanging")
        for _ in range(10):
            hanging.keep_lock(shard)
            assert sale.shop.rebuild()(shard) is False
            time.sleep(0.1)
        until(lambda: sale.shop.rebuild()(shard), 5, "the shard is open")
        sale.refused("SERVICE_UNAVAILABLE", hanging.keep_lock, shard)
        sale.refused("SERVICE_UNAVAILABLE", hanging.shard_image, shard)
        sale.refused("SERVICE_UNAVAILABLE", reservations.flip, shard, "hanging", run_id, sale.shop.epochs.of(shard) + 1)
    sale.shop.epochs.refresh()
    sale.reserve()


def test_a_rebuild_that_takes_long_keeps_its_lock(sale: Sale) -> None:
    """Each step takes a second, and all of them longer than the silence that Postgres allows."""
    reservations, others = sale.shop._rebuilding
    shard, seen = _shard(sale), []

    def slowly(*_: Any) -> None:
        time.sleep(1)
        with others.rebuild_lock(shard) as mine:
            seen.append(mine)

    sale.shop.close_shard(shard)
    ledger = PostgresRebuilding(sale.shop.postgres, silence_s=2)
    assert Rebuild(reservations, ledger, sale.shop.ledger.epochs, sale.shop.recorder, None, slowly)(shard)
    assert len(seen) > 3
    assert not any(seen)


def test_a_rebuilder_does_not_open_a_server_that_it_did_not_freeze(sale: Sale) -> None:
    reservations, ledger = sale.shop._rebuilding
    shard = _shard(sale)
    reservations.freeze(shard, "token")
    epoch = ledger.shard_image(shard).epoch
    refused = sale.refused("SERVICE_UNAVAILABLE", reservations.flip, shard, "token", "another-run-id", epoch)
    assert "restarted" in refused.detail


@pytest.mark.parametrize("knows", ["its head", "its outbox"])
def test_an_epoch_that_redis_has_had_does_not_come_again(sale: Sale, database: str, knows: str) -> None:
    """Postgres is set back. Its next epochs are those of name spaces that are not empty, and of ids that the outbox
    refuses."""
    shard, booking_id = _shard(sale), sale.reserve("ann", 3).booking.booking_id
    for _ in range(3):
        sale.shop.close_shard(shard)
        reopen(sale.shop)
        sale.record()
        sale.reserve("bob", 1)
    had = sale.shop.epochs.of(shard)
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE booking.shards SET epoch = %s WHERE shard = %s", [had - 2, shard])
    if knows == "its outbox":
        sale.shop.redis.command("DEL", keys.epoch(shard))
    reopen(sale.shop)
    assert sale.shop.epochs.of(shard) == had + 1
    sale.reserve("cy", 1)
    assert sale.shop.get("ann", booking_id).status == "reserved"
    assert shard not in sale.shop.closed_shards()


@pytest.mark.parametrize("line", ["freeze", "survivors", "highest_epoch", "shard_image", "install", "flip"])
def test_a_rebuilder_that_dies_before_any_line_is_followed_by_another(
    sale: Sale, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale.reserve("ann", 3)
    sale.record()
    _forget_everything(sale)
    rebuild = sale.shop.rebuild()
    owner = rebuild.ledger if line == "shard_image" else rebuild.reservations

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(owner), line, die)
        with pytest.raises(KeyboardInterrupt):
            rebuild(_shard(sale))
    sale.refused("SERVICE_UNAVAILABLE", sale.reserve, "bob")
    reopen(sale.shop)
    assert sale.seats() == Seats(capacity=10, confirmed=0, held=3, available=7)


def test_old_name_spaces_are_swept_and_the_new_one_is_not(sale: Sale) -> None:
    booking_id = sale.reserve("ann", 3).booking.booking_id
    old = sale.shop.epochs.of(_shard(sale))
    sale.shop.redis.command("SET", f"{{{_shard(sale):02}}}:freeze", "by hand")
    reopen(sale.shop)
    assert sale.shop.sweep_old_spaces() > 0
    assert sale.shop.redis.pipeline([("KEYS", f"{{{_shard(sale):02}}}:{old}:*")], raw=True) == [[]]
    assert sale.shop.get("ann", booking_id).status == "reserved"


def _web(shop: Wiring, seconds: list[float], **known: Callable[[], Any]) -> Reopen:
    """A web process' way to reopen, at these moments."""
    moments = iter(seconds)
    knows = {"closed_shards": shop.closed_shards, "worker_lives": lambda: False, **known}
    return Reopen(shop.rebuild(), **knows, clock=lambda: next(moments))


@pytest.mark.parametrize(("lives", "waits_s"), [(False, 5.0), (True, 30.0)])
def test_a_web_process_reopens_what_it_met_closed_when_no_worker_has(
    shop: Wiring, sale: Sale, lives: bool, waits_s: float
) -> None:
    web = _web(shop, [0.0, waits_s - 0.1, waits_s], worker_lives=lambda: lives)
    _forget_everything(sale)
    web.met(_shard(sale))
    web()
    with pytest.raises(Refusal):
        sale.reserve()
    web()
    shop.epochs.refresh()
    sale.reserve()


def test_a_bug_that_one_shard_meets_does_not_keep_the_others_closed(shop: Wiring) -> None:
    tried: list[int] = []

    def rebuild(shard: int) -> bool:
        tried.append(shard)
        if shard == 1:
            raise TypeError("a bug")
        return True

    web = Reopen(rebuild, lambda: [1, 2], lambda: False, grace_s=0)  # type: ignore[arg-type]
    web.met(1)
    web.met(2)
    web()
    web()
    assert tried == [1, 2, 1]


def test_a_web_process_begins_to_wait_when_both_stores_answer(shop: Wiring, sale: Sale) -> None:
    """Postgres is away for a minute: at its return a worker is to have the same time as ever."""
    answers = iter([refusal("SERVICE_UNAVAILABLE"), None, None])

    def worker_lives() -> bool:
        if away := next(answers):
            raise away
        return False

    web = _web(shop, [0.0, 60.0, 61.0, 65.0], worker_lives=worker_lives)
    _forget_everything(sale)
    web.met(_shard(sale))
    with pytest.raises(Refusal):
        web()
    web()
    assert _shard(sale) in shop.closed_shards()
    web()
    assert _shard(sale) not in shop.closed_shards()


def test_a_web_process_forgets_what_somebody_else_has_opened(shop: Wiring, sale: Sale) -> None:
    """Closed again later, it is met anew."""
    closed = iter([[], [_shard(sale)]])
    web = _web(shop, [0.0, 100.0, 101.0], closed_shards=lambda: next(closed))
    web.met(_shard(sale))
    web()
    web.met(_shard(sale))
    web()
    assert not list(closed)


def test_a_worker_whose_lock_was_refused_is_not_on_duty(shop: Wiring, database: str) -> None:
    duty = PostgresDuty(shop.postgres, timeout_s=0.2)
    with psycopg.connect(database) as other:
        other.execute("SELECT pg_advisory_lock(4, 0)")
        for _ in range(2):
            with pytest.raises(Refusal):
                duty.keep()
    duty.keep()
    assert shop.reopen.worker_lives()
    duty.leave()


def test_a_worker_is_on_duty_for_as_long_as_its_session_lives(shop: Wiring, database: str) -> None:
    lives, duties = shop.reopen.worker_lives, [shop.duty(), shop.duty()]
    assert not lives()
    for duty in duties:
        duty.keep()
    duties[0].leave()
    assert lives(), "the other one"
    with psycopg.connect(database) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND classid = 4"
        )
    assert not lives()
    with pytest.raises(Refusal):
        duties[1].keep()
    duties[1].keep()
    assert lives()
    duties[1].leave()
    assert not lives()
