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

-- include: shard keys indexes zone text reservation counts deadlines user outbox ending together reclaim
local name, capacity = zone_name(ARGV[3], ARGV[4]), tonumber(ARGV[5])
local RECLAIM_LIMIT = 1000

local known = unpack_zone(call("GET", zone_key(name)))
if not known then
  return { "ZONE_NOT_FOUND" }
end
local _, counts = reclaim_zone(name, RECLAIM_LIMIT)
if counts.ceiling_number > 0 then
  return { "CAPACITY_IN_USE", 0 }
end
local in_use = known.confirmed + counts.held
if in_use > capacity then
  return { "CAPACITY_IN_USE", in_use }
end
-- One ceiling stands at a time, and Postgres remembers the highest number that is done: the next is free.
counts.ceiling, counts.ceiling_number = capacity, known.ceiling_done + 1
save_counts(name, counts)
call("ZADD", ceilings_key, now, name)
return { "OK", counts.ceiling_number }
