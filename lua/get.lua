#!lua flags=no-writes
-- get: what Redis knows of one reservation, its deadline judged by Redis' own clock.
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id> <layout>"
-- ARGV[2] now, ms; "" for Redis' own clock
-- ARGV[3] booking id
-- ARGV[4] user id
--
-- OK booking event zone user quantity price currency reserved_at deadline version state pin payment key fingerprint at, now
-- RESERVATION_NOT_FOUND unknown
-- SERVICE_UNAVAILABLE closed

-- include: shard keys indexes text reservation
local booking = bytes_of(ARGV[3])
local r = load(booking)
if not r or r.user ~= ARGV[4] then
  return { "RESERVATION_NOT_FOUND", "unknown" }
end
if r.state == "reserved" and r.deadline <= now then
  r.state, r.at = "expired", r.deadline -- nothing can confirm it any more, whether or not the sweeper has come by
end
return { "OK", facts(ARGV[3], r), now }
