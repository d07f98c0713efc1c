"""Somebody writes into Redis what no script can read: whoever comes by is refused for a moment, the shard is closed and
filled anew. Never a wrong number, never a 500; but a script that fails on what it has just been given is a bug."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
import redis

from app.domain.errors import Refusal
from app.domain.ids import shard_of_event
from app.domain.model import Seats
from app.stores import keys, scripts
from app.stores.lua import ScriptFailed
from app.wiring import Wiring, build_worker
from dev.redis import Redis
from tests.support import invariants
from tests.support.controls import altered_script
from tests.support.edits import by_hand
from tests.support.seats import Clock, Sale, key_of, open_sale, reopen, settings

SEATS = Seats(capacity=10, confirmed=1, held=3, available=6)


@dataclass
class Edited:
    sale: Sale
    booking_id: str
    failed: list[str]

    @property
    def shard(self) -> int:
        return shard_of_event(self.sale.event_id, len(self.sale.shop.shards))

    @property
    def space(self) -> str:
        return f"{{{self.shard:02}}}:{self.sale.shop.epochs.of(self.shard)}"

    def names(self) -> dict[str, str | bytes]:
        return {
            "zone": f"{self.space}:zone:{self.sale.event_id}/A",
            "counts": f"{self.space}:counts:{self.sale.event_id}/A",
            "deadlines": f"{self.space}:deadlines:{self.sale.event_id}/A",
            "outbox": keys.outbox(self.shard),
            "user": f"{self.space}:u:{self.sale.event_id}/ann",
            "reservation": key_of(f"{self.space}:r:{self.booking_id}"),
        }

    def verbs(self) -> dict[str, Callable[[], object]]:
        shop, event = self.sale.shop, self.sale.event_id
        return {
            "availability": self.sale.seats,
            "get": lambda: shop.get("ann", self.booking_id),
            "summary": lambda: shop.summary("ann", event),
            "reserve": lambda: self.sale.reserve("ann"),
            "extend": lambda: shop.extend("ann", self.booking_id, None),
            "expire": lambda: shop.expire(self.shard),
            "audit": lambda: shop.audit(self.shard),
            "confirm": lambda: shop.confirm("ann", self.booking_id, None),
        }


@pytest.fixture
def edited(database: str, redis_server: Redis) -> Iterator[Edited]:
    """Three of ten seats are ann's until their deadline, and recorded; one is bob's."""
    redis.Redis.from_url(redis_server.url).flushall()
    failed: list[str] = []
    clock = Clock()
    shop: Wiring = replace(
        build_worker(settings(database, redis_server.url)), now=clock, on_script_failed=failed.append
    )
    shop.start()
    reopen(shop)
    sale = open_sale(shop, clock, hold_seconds_max=3600, max_per_user=10)
    booking_id = sale.reserve("ann", 3).booking.booking_id
    shop.confirm("bob", sale.reserve("bob").booking.booking_id, None)
    sale.record()
    with psycopg.connect(database, autocommit=True) as owner:  # the audit knows a zone after a while
        owner.execute("UPDATE booking.zones SET created_at = now() - interval '1 hour'")
    yield Edited(sale, booking_id, failed)
    shop.close()


EDITS: dict[str, tuple[Any, ...]] = {
    "seats held are no number": ("EDIT", "counts", {"held": "three"}),
    "seats held are nothing": ("EDIT", "counts", {"held": ""}),
    "the counts are a text": ("SET", "counts", "garbage"),
    "the counts are something else that is packed": ("SET", "counts", "\x90"),
    "the facts are a text": ("SET", "zone", "garbage"),
    "the facts are something else that is packed": ("SET", "zone", "\x90"),
    "the capacity is no number": ("EDIT", "zone", {"capacity": "ten"}),
    "what is confirmed is no number": ("EDIT", "zone", {"confirmed": "x"}),
    "the price is no number": ("EDIT", "zone", {"price": "cheap"}),
    "the limit is no number": ("EDIT", "zone", {"per_user": "many"}),
    "the user's seats are no number": ("EDIT", "user", {"held": "many"}),
    "what the user has is a text": ("SET", "user", "garbage"),
    "the reservation is a text": ("SET", "reservation", "garbage"),
    "the reservation is cut off": ("SETRANGE", "reservation", "0", "\x93\x01"),
    "the reservation is something else that is packed": ("SET", "reservation", "\x00"),
    "the reservation is a hash": ("HSET", "reservation", "state", "reserved"),
    "the deadlines are a text": ("SET", "deadlines", "garbage"),
    "the outbox is a text": ("SET", "outbox", "garbage"),
}  # fmt: skip


UNSEEN = "the limit is no number"
"""The audit compares seats and prices; reserve meets this."""


def _answer(call: Callable[[], object]) -> object:
    """What it answers, or the code of its refusal."""
    try:
        return call()
    except Refusal as refused:
        return refused.kind.code


def _edit(edited: Edited, words: tuple[Any, ...]) -> None:
    command, what, *values = words
    name = edited.names()[what]
    assert edited.sale.shop.redis.command("EXISTS", name) == 1 or what == "outbox", name
    if command == "HSET":
        edited.sale.shop.redis.command("DEL", name)
    by_hand(edited.sale.shop.redis.command, command, name, *values)


@pytest.mark.parametrize("edit", EDITS)
def test_what_no_script_can_read_is_refused_closes_the_shard_and_is_filled_anew(edited: Edited, edit: str) -> None:
    shop = edited.sale.shop
    met = []
    for verb, call in edited.verbs().items():
        _edit(edited, EDITS[edit])
        found = _answer(call)
        if found == "SERVICE_UNAVAILABLE":
            met.append(verb)
        elif verb == "availability":
            assert found == SEATS
        elif verb == "audit":
            assert found or edit == UNSEEN, "the audit sees nothing"
        else:
            assert not isinstance(found, str), f"{verb}: {found}"
        if edited.shard not in shop.closed_shards():
            shop.close_shard(edited.shard)  # it does not read what was edited
        reopen(shop)
    assert met
    assert edited.failed
    edited.sale.record()
    invariants.stores_agree(shop, edited.sale.event_id)


def test_a_script_that_fails_again_on_what_it_was_given_anew_is_a_bug(edited: Edited) -> None:
    wrong = scripts.source("reserve").replace("local deadline = now +", "local deadline = nil +")
    with altered_script("reserve", scripts.source("reserve"), wrong):
        for _ in range(2):
            edited.sale.refused("SERVICE_UNAVAILABLE", edited.sale.reserve)
        reopen(edited.sale.shop)
        with pytest.raises(ScriptFailed, match=r"reserve\.lua: .*attempt to perform arithmetic"):
            edited.sale.reserve()
        assert edited.shard not in edited.sale.shop.closed_shards()
    assert edited.failed == ["reserve", "reserve"]
    assert edited.sale.reserve().booking.status == "reserved"
