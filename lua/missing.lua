#!lua flags=no-writes
-- missing: which of these bookings the shard does not know, neither live nor ended a short while ago.
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id> <layout>"
-- ARGV[2] now, ms; "" for Redis' own clock
-- ARGV[3] JSON [booking id ...]
--
-- OK {booking ...}
-- SERVICE_UNAVAILABLE closed

-- include: shard keys indexes text
local missing = {}
for _, booking in ipairs(cjson.decode(ARGV[3])) do
  if call("EXISTS", reservation_key(bytes_of(booking))) == 0 then
    missing[#missing + 1] = booking
  end
end
return { "OK", missing }
