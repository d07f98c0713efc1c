#!lua flags=no-writes
-- reconcile: one zone as it stands, with a page of its live reservations, for the comparison with Postgres.
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id> <layout>"
-- ARGV[2] now, ms; "" for Redis' own clock
-- ARGV[3] event id
-- ARGV[4] zone id
-- ARGV[5] reservations to pass over
-- ARGV[6] limit, reservations
--
-- OK {capacity confirmed held version}|{} {booking quantity ...} {pinned booking, quantity ...} (with the first page only)
-- SERVICE_UNAVAILABLE closed

-- include: shard keys indexes zone text reservation counts
local name, from = zone_name(ARGV[3], ARGV[4]), tonumber(ARGV[5])
local z = call("MGET", zone_key(name), counts_key(name))
local known, figures = unpack_zone(z[1]), {}
if known and z[2] then
  figures = { known.capacity, known.confirmed, unpack_counts(z[2]).held, known.version }
end
local live, pinned = {}, {}
for _, member in ipairs(call("ZRANGE", deadlines_key(name), from, from + tonumber(ARGV[6]) - 1)) do
  live[#live + 1] = text_of(member)
  live[#live + 1] = tonumber(string.sub(member, 17))
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
return { "OK", figures, live, pinned }
