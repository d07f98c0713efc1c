#!lua flags=allow-oom
-- expire: ends what is due in the shard, up to a limit, and names the pins that are past theirs (rule 3.3).
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id>"
-- ARGV[2] now, ms; "" for Redis' own clock
-- ARGV[3] limit, reservations
-- ARGV[4] how long a pin may stand, ms
--
-- OK expired more(0|1) {pin ...}, each as confirm answers it
-- SERVICE_UNAVAILABLE closed

-- include: shard keys reservation outbox ending reclaim
local limit, expired = tonumber(ARGV[3]), 0
local PINS_LIMIT = 100

for _, name in ipairs(call("ZRANGEBYSCORE", due_key, "-inf", now, "LIMIT", 0, limit)) do
  if expired < limit then
    expired = expired + reclaim_zone(name, limit - expired)
    note_earliest(name)
  end
end

-- A pin does not end by time: Postgres is asked about these.
local overdue = {}
for _, booking in ipairs(call("ZRANGEBYSCORE", pins_key, "-inf", now - tonumber(ARGV[4]), "LIMIT", 0, PINS_LIMIT)) do
  local r = load_live(booking)
  if r then
    overdue[#overdue + 1] = facts(booking, r)
  end
end
return { "OK", expired, expired >= limit and 1 or 0, overdue }
