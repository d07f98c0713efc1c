#!lua flags=allow-oom
-- confirm: pins a reservation, so that from here on only Postgres decides what becomes of it (rules 3.1 to 3.3).
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id> <layout>"
-- ARGV[2] now, ms; "" for Redis' own clock
-- ARGV[3] booking id
-- ARGV[4] user id
-- ARGV[5] payment id; "" without one
--
-- OK booking event zone user quantity price currency reserved_at deadline version state pin payment key fingerprint at
-- RESERVATION_NOT_FOUND unknown | released | expired
-- CONFIRMATION_IN_PROGRESS
-- SERVICE_UNAVAILABLE closed

-- include: shard keys indexes text reservation standing deadlines
local booking, payment = bytes_of(ARGV[3]), ARGV[5]
local r = load(booking)
if r and r.user == ARGV[4] and r.state == "pinned" and r.payment == payment then
  return { "OK", facts(ARGV[3], r) } -- the same attempt again: the pin's start does not move
end
local no = refused(r, ARGV[4])
if no then
  return no
end

r.state, r.payment, r.pin, r.pinned_at = "pinned", payment, r.pin + 1, now
take(zone_name(r.event, r.zone), r.bucket, booking, r.quantity)
call("ZADD", pins_key, now, booking)
call("SET", reservation_key(booking), pack(r))
return { "OK", facts(ARGV[3], r) }
