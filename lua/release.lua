#!lua flags=allow-oom
-- release: the holder gives the seats back; they are credited once, and a second release finds nothing.
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id> <layout>"
-- ARGV[2] now, ms; "" for Redis' own clock
-- ARGV[3] booking id
-- ARGV[4] user id
--
-- OK booking event zone user quantity price currency reserved_at deadline version state pin payment key fingerprint at
-- RESERVATION_NOT_FOUND unknown | released | expired
-- CONFIRMATION_IN_PROGRESS
-- SERVICE_UNAVAILABLE closed

-- include: shard keys indexes text reservation standing counts deadlines user outbox ending
local booking = bytes_of(ARGV[3])
local r = load(booking)
local no = refused(r, ARGV[4])
if no then
  return no
end

finish(booking, r, "released", now)
return { "OK", facts(ARGV[3], r) }
