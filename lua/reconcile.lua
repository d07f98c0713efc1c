#!lua flags=no-writes
-- reconcile: one zone as it stands, with some buckets of its live reservations, for the comparison with Postgres.
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id> <layout>"
-- ARGV[2] now, ms; "" for Redis' own clock
-- ARGV[3] event id
-- ARGV[4] zone id
-- ARGV[5] buckets to pass over
-- ARGV[6] limit, buckets
--
-- OK {capacity confirmed held version}|{} more(0|1) {booking quantity ...} {pinned booking, quantity ...}: those that are
--    pinned with the first page only
-- SERVICE_UNAVAILABLE closed

-- include: shard keys indexes zone text reservation counts deadlines
local name, from = zone_name(ARGV[3], ARGV[4]), tonumber(ARGV[5])
local z = call("MGET", zone_key(name), counts_key(name))
local known, figures = unpack_zone(z[1]), {}
if known and z[2] then
  figures = { known.capacity, known.confirmed, unpack_counts(z[2]).held, known.version }
end
local live, pinned = {}, {}
local numbers = call("ZRANGE", deadlines_key(name), from, from + tonumber(ARGV[6]) - 1)
for _, number in ipairs(numbers) do
  for _, member in ipairs(call("ZRANGE", bucket_key(name, number), 0, -1)) do
    live[#live + 1] = text_of(member)
    live[#live + 1] = seats_of(member)
  end
end
if from == 0 then
  for _, booking in ipairs(call("ZRANGE", pins_key, 0, -1)) do
    local r = load(booking)
    if r and zone_name(r.event, r.zone) == name then
      pinned[#pinned + 1] = text_of(booking)
      pinned[#pinned + 1] = r.quantity
    end
  end
end
return { "OK", figures, #numbers == tonumber(ARGV[6]) and 1 or 0, live, pinned }
