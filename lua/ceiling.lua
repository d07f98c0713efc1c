#!lua flags=allow-oom
-- ceiling: fences the seats above a lower capacity before Postgres commits it, so that none of them is promised meanwhile.
-- Its number is committed or voided by Postgres, and only facts that say so lift it (rule 3.8).
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id> <layout>"
-- ARGV[2] now, ms; "" for Redis' own clock
-- ARGV[3] event id
-- ARGV[4] zone id
-- ARGV[5] capacity to come, seats
--
-- OK number
-- CAPACITY_IN_USE seats (sold and held, or 0 while another ceiling stands)
-- ZONE_NOT_FOUND
-- SERVICE_UNAVAILABLE closed

-- include: shard keys indexes zone text reservation outbox ending reclaim
local name, capacity = zone_name(ARGV[3], ARGV[4]), tonumber(ARGV[5])
local zone = zone_key(name)
local RECLAIM_LIMIT = 1000

reclaim_zone(name, RECLAIM_LIMIT)
note_earliest(name)
local z = call("HMGET", zone, "facts", "held", "ceiling_number")
local known = unpack_zone(z[1])
if not known then
  return { "ZONE_NOT_FOUND" }
end
if z[3] then
  return { "CAPACITY_IN_USE", 0 }
end
local in_use = known.confirmed + tonumber(z[2] or 0)
if in_use > capacity then
  return { "CAPACITY_IN_USE", in_use }
end
-- One ceiling stands at a time, and Postgres remembers the highest number that is done: the next is free.
local number = known.ceiling_done + 1
call("HSET", zone, "ceiling_number", number, "ceiling", capacity)
call("ZADD", ceilings_key, now, name)
return { "OK", number }
