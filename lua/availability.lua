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
-- Together they bound the script: with a sweeper alive nothing near them is ever due.
local looks, members = 3000, 10000 -- buckets, most of them emptied; and reservations in them

local function seats_due(name)
  local seats, numbers = 0, members > 0 and buckets_due(name, looks) or {}
  looks = looks - #numbers
  for _, number in ipairs(numbers) do
    local due = members > 0 and call("ZRANGEBYSCORE", bucket_key(name, number), "-inf", now) or {}
    members = members - #due
    for _, member in ipairs(due) do
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
