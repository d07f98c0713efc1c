#!lua flags=allow-oom
-- extend: a later deadline, as often as asked for, up to what was fixed when the seats were reserved.
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id> <layout>"
-- ARGV[2] now, ms; "" for Redis' own clock
-- ARGV[3] booking id
-- ARGV[4] user id
-- ARGV[5] digest of (event, user, verb, idempotency key), 8 bytes; "" without a key
-- ARGV[6] idempotency key
-- ARGV[7] fingerprint of the payload
-- ARGV[8] how long a key is kept, ms
--
-- OK {booking event zone user quantity price currency reserved_at deadline version state pin payment key fingerprint at} now
-- REPLAYED the same, with the deadline and the state of the first answer
-- RESERVATION_NOT_FOUND unknown | released | expired
-- CONFIRMATION_IN_PROGRESS
-- HOLD_LIMIT_REACHED deadline
-- IDEMPOTENCY_KEY_REUSED
-- SERVICE_UNAVAILABLE closed

-- include: shard keys zone text reservation standing deadlines outbox idempotency
local booking, digest, fingerprint = bytes_of(ARGV[3]), ARGV[5], ARGV[7]
local r = load(booking)
local known = r and r.user == ARGV[4] and remembered(r.event, r.user, digest, ARGV[8])
if known then
  if known[1] ~= fingerprint then
    return { "IDEMPOTENCY_KEY_REUSED" }
  end
  r.deadline, r.state = known[6], "reserved" -- whatever has become of it since
  return { "REPLAYED", facts(ARGV[3], r), now }
end
local no = refused(r, ARGV[4])
if no then
  return no
end

local name = zone_name(r.event, r.zone)
local hold_ms = unpack_zone(call("GET", zone_key(name))).hold_ms
local deadline = math.min(r.deadline + hold_ms, r.hold_until)
if deadline <= r.deadline then
  return { "HOLD_LIMIT_REACHED", r.deadline }
end
r.deadline, r.version, r.at = deadline, r.version + 1, now
local packed = pack(r)
call("SET", reservation_key(booking), packed)
put_back(name, r.bucket, deadline, booking, r.quantity)
if digest ~= "" then
  remember(r, digest, ARGV[8], fingerprint, booking, now)
end
tell("extended", booking, packed, "verb_key", ARGV[6], "verb_fingerprint", fingerprint)
return { "OK", facts(ARGV[3], r), now }
