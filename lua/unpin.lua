#!lua flags=allow-oom
-- unpin: takes back a pin that Postgres has recorded as void: the reservation stands again until its deadline, or ends when
-- that has passed (rule 3.3). Any other pin, and what is not pinned, stays as it is.
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id> <layout>"
-- ARGV[2] now, ms; "" for Redis' own clock
-- ARGV[3] booking id
-- ARGV[4] the pin's number
--
-- OK unpinned(0|1)
-- SERVICE_UNAVAILABLE closed

-- include: shard keys indexes text reservation counts deadlines user outbox ending
local booking = bytes_of(ARGV[3])
local r = load(booking)
if not r or r.state ~= "pinned" or r.pin ~= tonumber(ARGV[4]) then
  return { "OK", 0 }
end

if r.deadline <= now then
  finish(booking, r, "expired", now)
  return { "OK", 1 }
end
local zone = zone_name(r.event, r.zone)
r.state = "reserved"
call("ZREM", pins_key, booking)
put_back(zone, r.bucket, r.deadline, booking, r.quantity)
local counts = load_counts(zone)
note_due(zone, counts, r.deadline)
save_counts(zone, counts)
call("SET", reservation_key(booking), pack(r))
return { "OK", 1 }
