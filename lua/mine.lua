#!lua flags=no-writes
-- mine: what Redis knows of one user's reservations in a shard: the live ones of some events, and the bookings named.
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id> <layout>"
-- ARGV[2] now, ms; "" for Redis' own clock
-- ARGV[3] user id
-- ARGV[4] JSON {events: [event], bookings: [booking]}
--
-- OK {{booking event zone user quantity price currency reserved_at deadline version state pin payment key fingerprint at} ...} now
-- SERVICE_UNAVAILABLE closed

-- include: shard keys text reservation user
local asked = cjson.decode(ARGV[4])
local found, seen = {}, {}

local function add(booking)
  local r = not seen[booking] and load(booking)
  seen[booking] = true
  if r and r.user == ARGV[3] then
    if r.state == "reserved" and r.deadline <= now then
      r.state, r.at = "expired", r.deadline
    end
    found[#found + 1] = facts(text_of(booking), r)
  end
end

for _, event in ipairs(asked.events) do
  for _, booking in ipairs(bookings_of(load_user(event, ARGV[3]))) do
    add(booking)
  end
end
for _, booking in ipairs(asked.bookings) do
  add(bytes_of(booking))
end
return { "OK", found, now }
