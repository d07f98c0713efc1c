#!lua flags=no-writes
-- look: one reservation as it is stored, for an operator, whoever's it is. No route leads here.
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id> <layout>"
-- ARGV[2] now, ms; "" for Redis' own clock
-- ARGV[3] booking id
--
-- OK booking event zone user quantity price currency reserved_at deadline version state pin payment key fingerprint at, now
-- RESERVATION_NOT_FOUND unknown
-- SERVICE_UNAVAILABLE closed

-- include: shard keys indexes text reservation
local booking = bytes_of(ARGV[3])
local r = load(booking)
if not r then
  return { "RESERVATION_NOT_FOUND", "unknown" }
end
return { "OK", facts(ARGV[3], r), now }
