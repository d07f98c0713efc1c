#!lua flags=no-writes
-- availability: the seats of some zones of one event at this instant; what is due counts as available.
--
-- KEYS[1]  {NN}:epoch
-- ARGV[1]  "<epoch> <run_id> <layout>"
-- ARGV[2]  now, ms; "" for Redis' own clock
-- ARGV[3]  event id
-- ARGV[4…] zone ids
--
-- OK {capacity confirmed held available version} per zone, in their order; {} for a zone that Redis does not know
-- SERVICE_UNAVAILABLE closed

-- include: shard keys indexes zone text reservation counts deadlines
local DUE_LIMIT = 300 -- buckets; bounds the script: with a sweeper alive nothing near it is ever due

local function seats_due(name)
  local seats = 0
  for _, number in ipairs(buckets_due(name, DUE_LIMIT)) do
    for _, member in ipairs(call("ZRANGEBYSCORE", bucket_key(name, number), "-inf", now)) do
      seats = seats + seats_of(member)
    end
  end
  return seats
end

local zones = {}
for i = 4, #ARGV do
  local name = zone_name(ARGV[3], ARGV[i])
  local z = call("MGET", zone_key(name), counts_key(name))
  local known = unpack_zone(z[1])
  if known and z[2] then
    local counts = unpack_counts(z[2])
    local held, most = counts.held - seats_due(name), known.capacity
    if counts.ceiling_number > 0 then
      most = math.min(most, counts.ceiling) -- a cut of capacity is under way
    end
    local available = math.max(0, most - known.confirmed - held)
    zones[#zones + 1] = { known.capacity, known.confirmed, held, available, known.version }
  else
    zones[#zones + 1] = {}
  end
end
return { "OK", zones }
