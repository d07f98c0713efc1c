"""How each protection is switched off in the real code: some lines of a script or a function, or a step in Python."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

import psycopg

from app.stores import schema, scripts
from tests.support.controls import altered_script

_NEWEST: Final = ("if known and known.version >= fact.version then", "if false then")

Change = tuple[str, str]


@dataclass(frozen=True)
class Switch:
    """`scripts` and `functions`: by name, what is replaced by what; `step`: what is done without in Python."""

    scripts: dict[str, list[Change]] = field(default_factory=dict)
    functions: dict[str, list[Change]] = field(default_factory=dict)
    step: str = ""


SWITCHES: Final[dict[str, Switch]] = {
    "pins_end_by_time": Switch(
        scripts={
            "expire": [
                (
                    "local PINS_LIMIT = 100\n",
                    """local PINS_LIMIT = 100
for _, booking in ipairs(call("ZRANGE", pins_key, 0, -1)) do
  local r = load_live(booking)
  if r and r.deadline <= now then
    finish(booking, r, "expired", now)
  end
end
""",
                )
            ]
        }
    ),
    "settling_records_first": Switch(
        functions={
            "settle_bookings": [
                ("IF outcome = 'ENDED' AND v_booking.status = 'reserved' THEN", "IF false THEN"),
                (
                    "booking := booking_json(v_booking);",
                    "booking := booking_json(v_booking) || CASE "
                    "WHEN outcome = 'ENDED' AND v_booking.status = 'reserved' THEN '{\"status\": \"expired\"}' "
                    "ELSE '{}' END::jsonb;",
                ),
            ]
        }
    ),
    "declining_voids_the_pin": Switch(
        functions={"void_pin": [("SET void_pin = greatest(b.void_pin, p_pin)", "SET void_pin = b.void_pin")]}
    ),
    "payments_keep_their_pin": Switch(
        functions={
            "shard_image": [
                ("AND p.state IN ('intent', 'pending')\n    WHERE b.shard", "AND false\n    WHERE b.shard")
            ],
            "settle_bookings": [("v_paying := v_booking.status = 'reserved' AND", "v_paying := false AND")],
            "end_what_does_not_fit": [("ORDER BY l.paying DESC, l.due,", "ORDER BY l.due,")],
        },
        step="the saga's pin is made up of what Postgres knows",
    ),
    "facts_have_versions": Switch(scripts={"learn": [_NEWEST], "settle": [_NEWEST]}),
    "settle_learns_nothing": Switch(
        scripts={"settle": [("learn(decided.zones, decided.users, users)", "save_users(users)")]}
    ),
    "facts_wait_for_the_shard": Switch(step="the consumer commits the offset of an event that its shard refused"),
    "run_id_is_asked": Switch(step="a connection never asks its server for the run_id"),
    "pin_epoch": Switch(
        functions={
            "add_bookings": [
                ("e.epoch = s.epoch AS live", "(e.epoch = s.epoch OR p_live_only) AS live"),
                ("WHERE e.epoch = s.epoch OR NOT p_live_only", "WHERE true"),
            ],
            "confirm_bookings": [
                ("ON s.shard = b.shard AND s.epoch = (p.pin).epoch", "ON s.shard = b.shard"),
                ("p.epoch <> s.epoch OR", ""),
            ],
            "open_payment": [("v_pin.epoch <> v_pin.epoch_now", "false")],
        }
    ),
    "recording_reads_the_epoch": Switch(functions={"add_bookings": [("e.epoch = s.epoch AS live", "true AS live")]}),
    "recording_takes_the_lock": Switch(
        functions={
            "held_entries": [("PERFORM lock_shards(array_agg(DISTINCT e.shard)) FROM unnest(v_entries) AS e;", "")]
        }
    ),
    "dead_own_no_key": Switch(
        functions={
            "add_bookings": [
                ("CASE WHEN f.live AND f.idempotency_key IS NOT NULL", "CASE WHEN f.idempotency_key IS NOT NULL")
            ]
        }
    ),
    "a_rebuild_has_numbers": Switch(
        functions={"add_bookings": [("SELECT b.booking_id, s.epoch,", "SELECT b.booking_id, b.epoch,")]}
    ),
    "extensions_read_the_epoch": Switch(
        functions={
            "record_extensions": [
                (
                    "JOIN shards AS s ON s.shard = e.shard AND s.epoch = e.epoch\n        GROUP BY",
                    "JOIN shards AS s ON s.shard = e.shard\n        GROUP BY",
                )
            ]
        }
    ),
    "one_rebuilds": Switch(
        scripts={name: [('call("GET", tag .. ":freeze") ~= ARGV[1]', "false")] for name in ("install", "flip")},
        step="whoever asks for the session lock has it",
    ),
    "a_freeze_has_an_owner": Switch(
        scripts={name: [('call("GET", tag .. ":freeze") ~= ARGV[1]', "false")] for name in ("install", "flip")}
    ),
    "the_image_waits": Switch(
        functions={
            name: [("PERFORM pg_advisory_xact_lock(1, p_shard);", "")] for name in ("outgrow_epoch", "shard_image")
        }
    ),
    "the_image_fits_the_zone": Switch(
        functions={
            "end_what_does_not_fit": [
                ("IF v_zone_seats[v_live.zone_no] + v_live.quantity <= v_live.zone_room\n", "IF true\n"),
            ]
        }
    ),
    "the_image_fits_the_limit": Switch(
        functions={
            "end_what_does_not_fit": [
                ("AND v_user_seats[v_live.user_no] + v_live.quantity <= v_live.user_room\n", "\n"),
            ]
        }
    ),
    "the_image_spans_zones": Switch(
        functions={
            "end_what_does_not_fit": [
                ("(ORDER BY b.event_id, b.user_id)", "(ORDER BY b.event_id, b.user_id, b.zone_id)"),
                ("(PARTITION BY b.event_id, b.user_id)", "(PARTITION BY b.event_id, b.user_id, b.zone_id)"),
            ]
        }
    ),
    "the_image_counts_seats": Switch(
        functions={
            "end_what_does_not_fit": [("sum(b.quantity)", "count(*)"), ("+ v_live.quantity", "+ 1")],
        }
    ),
    "the_image_has_the_deadlines": Switch(
        functions={
            "shard_image": [
                (
                    "to_ms(b.deadline), to_ms(b.reserved_at) + e.hold_seconds_max",
                    "to_ms(b.reserved_at) + e.hold_seconds::bigint * 1000, to_ms(b.reserved_at) + e.hold_seconds_max",
                )
            ]
        }
    ),
    "the_image_has_the_keys": Switch(functions={"shard_image": [("WHERE k.live IS NOT TRUE;", "WHERE false;")]}),
    "cuts_need_a_ceiling": Switch(
        functions={"open_zone": [("v_asked.capacity < v_zone.capacity AND NOT", "false AND NOT")]}
    ),
    "one_ceiling": Switch(scripts={"ceiling": [("if counts.ceiling_number > 0 then", "if false then")]}),
    "ceilings_are_voided_first": Switch(
        scripts={
            "expire": [
                (
                    "ceilings[#ceilings + 1] = { name, number }",
                    "local counts = load_counts(name)\n    counts.ceiling_number = 0\n    save_counts(name, counts)\n"
                    '    call("ZREM", ceilings_key, name)',
                )
            ]
        }
    ),
    "the_limit_spans_zones": Switch(
        scripts={
            "reserve": [
                (
                    "if user_held + user_confirmed + quantity > per_user then",
                    """local here = 0
for at = 1, u and #u.listed or 0, 24 do
  local other = string.sub(u.listed, at + 8, at + 23)
  local held_there = cmsgpack.unpack(call("GET", reservation_key(other)))
  if held_there and held_there[2] == zone_id then
    here = here + held_there[4]
  end
end
if here + user_confirmed + quantity > per_user then""",
                )
            ]
        }
    ),
    "keys_end": Switch(
        scripts={
            "reserve": [
                ("if now - reserved_at < tonumber(kept_ms) then", "if true then"),
                ("if now - r.reserved_at < tonumber(kept_ms) then", "if true then"),
            ]
        }
    ),
    "keys_make_way": Switch(
        functions={
            "claim_extensions": [
                ("WHERE known.created_at <= excluded.created_at - interval '24 hours'", "WHERE false")
            ],
            "kept_keys": [
                ("AND b.reserved_at > statement_timestamp() - interval '24 hours'", ""),
                ("k.since DESC", "k.since"),
            ],
        }
    ),
    "deadlines_move_forward": Switch(functions={"record_extensions": [("AND b.deadline < l.deadline", "")]}),
}


def clocked(text: str) -> str:
    """A function of Postgres with the schedule's clock for its own."""
    return re.sub(r"\b(clock|statement)_timestamp\(\)", "booking.test_clock()", text)


def load_with_the_clock(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(
            "CREATE TABLE booking.test_clock (at timestamptz NOT NULL); INSERT INTO booking.test_clock VALUES (now());"
            "GRANT SELECT ON booking.test_clock TO holdfast_app;"
            "CREATE FUNCTION booking.test_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS "
            "'SELECT at FROM booking.test_clock'; SET check_function_bodies = off"
        )
        for text in schema.function_files().values():
            owner.execute(clocked(text).encode())


def altered(name: str) -> dict[str, str]:
    """The functions of Postgres without the protection `name`. What is replaced must be there."""
    texts = {}
    for function, changes in SWITCHES[name].functions.items():
        text = schema.function_files()[function]
        for old, new in changes:
            assert old in text, f"{function}.sql has no {old!r} any more: {name} is to be switched off in another way"
            text = text.replace(old, new)
        texts[function] = text
    return texts


@contextmanager
def switched_off(name: str, database_url: str) -> Iterator[None]:
    """The real code does without the protection `name`, as long as the block lasts."""
    with psycopg.connect(database_url, autocommit=True) as owner, ExitStack() as stack:
        for script, changes in SWITCHES[name].scripts.items():
            text = scripts.source(script)
            for old, new in changes:
                assert old in text, f"{script}.lua has no {old!r} any more: {name} is to be switched off in another way"
                text = text.replace(old, new)
            stack.enter_context(altered_script(script, scripts.source(script), text))
        for function, text in altered(name).items():
            owner.execute(clocked(text).encode())
            stack.callback(owner.execute, clocked(schema.function_files()[function]).encode())
        yield
