#!lua flags=no-writes
-- availability: the seats of some zones of one event at this instant; what is due counts as available.
--
-- KEYS[1]  {NN}:epoch
-- ARGV[1]  "<epoch> <run_id>"
-- ARGV[2]  now, ms; "" for Redis' own clock
-- ARGV[3]  event id
-- ARGV[4…] zone ids
--
-- OK {capacity confirmed held available version} per zone, in their order; {} for a zone that Redis does not know
-- SERVICE_UNAVAILABLE closed

-- include: shard keys
local DUE_LIMIT = 10000 -- bounds the script; with a sweeper alive nothing near it is ever due

local function seats_due(name)
  local seats = 0
  for _, member in ipairs(call("ZRANGEBYSCORE", deadlines_key(name), "-inf", now, "LIMIT", 0, DUE_LIMIT)) do
    seats = seats + tonumber(string.sub(member, 38))
  end
  return seats
end

local zones = {}
for i = 4, #ARGV do
  local name = zone_name(ARGV[3], ARGV[i])
  local z = call("HMGET", zone_key(name), "capacity", "confirmed", "held", "version", "ceiling")
  if z[1] then
    local capacity, confirmed, version = tonumber(z[1]), tonumber(z[2]), tonumber(z[4])
    local held = tonumber(z[3] or 0) - seats_due(name)
    local most = math.min(capacity, tonumber(z[5] or capacity)) -- a cut of capacity may be under way
    zones[#zones + 1] = { capacity, confirmed, held, math.max(0, most - confirmed - held), version }
  else
    zones[#zones + 1] = {}
  end
end
return { "OK", zones }
