"""What protects the seam, one rule each: switched off, it must be seen. The words say what is done without it."""

from typing import Final

PROTECTIONS: Final = {
    # Rule 3.3: a pin.
    "pins_end_by_time": "a pinned reservation is expired by Redis alone",
    "settling_records_first": "settling an undecided pin gives seats back without recording it in Postgres first",
    "declining_voids_the_pin": "a declined payment unpins, while another confirm of the same pin may be under way",
    "payments_keep_their_pin": "a booking with an open payment comes back merely reserved, and the saga does not pin",
    # Rule 3.4: facts.
    "facts_have_versions": "the facts that come last are kept, not the newest",
    "settle_learns_nothing": "settle drops the hold, and leaves the confirmed count to a later event",
    "facts_wait_for_the_shard": "facts that meet a closed shard are dropped instead of tried again",
    # Rule 3.6: epochs and locks.
    "run_id_is_asked": "a Redis that came back older goes on selling",
    "pin_epoch": "confirm does not compare the pin's epoch with the current one",
    "recording_reads_the_epoch": "what a dead epoch promised is recorded as live",
    "recording_takes_the_lock": "recording reads the epoch and writes without the shard's lock",
    "dead_own_no_key": "a reservation recorded as ended by a rebuild still owns its idempotency key",
    "extensions_read_the_epoch": "an extension of a dead epoch still moves the deadline",
    # Rule 3.7: the rebuild.
    "one_rebuilds": "two rebuild at once: no session lock from freeze to install",
    "a_freeze_has_an_owner": "a rebuilder that was overtaken still opens the shard",
    "the_image_waits": "the image is taken without waiting for transactions under way",
    "the_image_fits_the_zone": "every reservation that Postgres calls live is restored, past the zone's capacity",
    "the_image_fits_the_limit": "the same, past the user's limit",
    "the_image_counts_seats": "the image counts reservations, not their seats",
    "the_image_has_the_deadlines": "the image forgets extensions",
    "the_image_has_the_keys": "the image leaves the idempotency records out",
    # Rule 3.8: a cut of capacity.
    "cuts_need_a_ceiling": "a capacity is cut in Postgres without fencing the seats first",
    "ceilings_are_voided_first": "an old ceiling is lifted without recording in Postgres that its number is void",
    # Keys and deadlines.
    "keys_end": "a key is remembered for ever",
    "keys_make_way": "Postgres keeps a key's first owner for ever",
    "deadlines_move_forward": "a late extension moves the deadline back",
}

FOCUS: Final = {
    "pins_end_by_time": ("relay",),
    "settling_records_first": ("relay",),
    "declining_voids_the_pin": ("pay", "keys"),
    "payments_keep_their_pin": ("pay", "amnesia", "relay"),
    "facts_have_versions": ("relay",),
    "settle_learns_nothing": (),
    "facts_wait_for_the_shard": ("admin", "amnesia", "relay"),
    "run_id_is_asked": ("amnesia", "relay"),
    "pin_epoch": ("amnesia", "keys", "relay"),
    "recording_reads_the_epoch": ("amnesia", "relay"),
    "recording_takes_the_lock": ("amnesia", "relay"),
    "dead_own_no_key": ("amnesia", "keys", "relay"),
    "extensions_read_the_epoch": ("amnesia", "extend", "relay"),
    "one_rebuilds": ("amnesia", "relay"),
    "a_freeze_has_an_owner": ("amnesia", "relay"),
    "the_image_waits": ("admin", "amnesia", "relay"),
    "the_image_fits_the_zone": ("amnesia", "relay"),
    "the_image_fits_the_limit": ("amnesia", "relay"),
    "the_image_counts_seats": ("amnesia", "relay"),
    "the_image_has_the_deadlines": ("amnesia", "extend", "relay"),
    "the_image_has_the_keys": ("amnesia", "keys", "relay"),
    "cuts_need_a_ceiling": ("admin",),
    "ceilings_are_voided_first": ("admin",),
    "keys_end": ("days", "keys"),
    "keys_make_way": ("amnesia", "days", "keys", "relay"),
    "deadlines_move_forward": ("extend", "relay"),
}
"""What has to happen in a schedule for it to be seen: a schedule in which little happens, often, finds more."""

FOUND_BY: Final = {
    "pins_end_by_time": 26,
    "settling_records_first": 8,
    "declining_voids_the_pin": 62,
    "payments_keep_their_pin": 1229,
    "facts_have_versions": 1,
    "settle_learns_nothing": 0,
    "facts_wait_for_the_shard": 6640,
    "run_id_is_asked": 84,
    "pin_epoch": 237,
    "recording_reads_the_epoch": 1,
    "recording_takes_the_lock": 164,
    "dead_own_no_key": 61,
    "extensions_read_the_epoch": 1007,
    "one_rebuilds": 2,
    "a_freeze_has_an_owner": 57,
    "the_image_waits": 541,
    "the_image_fits_the_zone": 51,
    "the_image_fits_the_limit": 532,
    "the_image_counts_seats": 321,
    "the_image_has_the_deadlines": 13,
    "the_image_has_the_keys": 5,
    "cuts_need_a_ceiling": 5,
    "ceilings_are_voided_first": 43,
    "keys_end": 4,
    "keys_make_way": 576,
    "deadlines_move_forward": 59,
}
"""A schedule that shows it, on the model and on the real stores: hunts begin there."""
