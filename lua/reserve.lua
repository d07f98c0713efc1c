#!lua
-- reserve: seats are held until a deadline, once per idempotency key, never more than there are.
--
-- KEYS[1]  {NN}:epoch
-- ARGV[1]  "<epoch> <run_id>"
-- ARGV[2]  now, ms; "" for Redis' own clock
-- ARGV[3]  booking id, fresh
-- ARGV[4]  event id
-- ARGV[5]  zone id
-- ARGV[6]  user id
-- ARGV[7]  quantity, seats
-- ARGV[8]  the price that the client saw, ten-thousandths of the currency; "" if it names none
-- ARGV[9]  digest of (event, user, verb, idempotency key); "" without a key
-- ARGV[10] idempotency key
-- ARGV[11] fingerprint of the payload
-- ARGV[12] how long a key is kept, ms
-- ARGV[13] OUTBOX_MAX, entries
--
-- OK booking price currency reserved_at deadline now
-- REPLAYED booking price currency reserved_at deadline now
-- INSUFFICIENT_SEATS available
-- MAX_TICKETS_EXCEEDED limit taken
-- PRICE_CHANGED price currency
-- SALE_CLOSED opens closes
-- ZONE_NOT_FOUND
-- IDEMPOTENCY_KEY_REUSED
-- VALIDATION_ERROR max_per_reservation
-- SERVICE_UNAVAILABLE closed | outbox_full

-- include: shard keys reservation outbox ending reclaim idempotency
local booking, event, user, quantity = ARGV[3], ARGV[4], ARGV[6], tonumber(ARGV[7])
local seen_price, digest = ARGV[8], ARGV[9]
local RECLAIM_LIMIT = 100 -- bounds the work of one call; the next call goes on

local known = remembered(digest, ARGV[12])
if known then
  local fingerprint, first, price, currency, reserved_at, deadline = unpack(known)
  if fingerprint ~= ARGV[11] then
    return { "IDEMPOTENCY_KEY_REUSED" }
  end
  return { "REPLAYED", first, price, currency, reserved_at, deadline, now }
end

local name = zone_name(event, ARGV[5])
local zone = zone_key(name)
local z = call(
  "HMGET", zone, "version", "capacity", "confirmed", "held", "price", "currency", "digits", "opens", "closes",
  "hold_ms", "hold_max_ms", "per_user", "per_reservation", "due", "ceiling"
)
if not z[1] then
  if call("EXISTS", deadlines_key(name)) == 1 then
    forget(name)
    return { "SERVICE_UNAVAILABLE", "closed" }
  end
  return { "ZONE_NOT_FOUND" }
end
local capacity, confirmed, held = tonumber(z[2]), tonumber(z[3]), tonumber(z[4]) or 0
local price, currency, digits = tonumber(z[5]), z[6], tonumber(z[7])
local opens, closes = tonumber(z[8]), tonumber(z[9])
local hold_ms, hold_max_ms, per_user, per_reservation = tonumber(z[10]), tonumber(z[11]), tonumber(z[12]), tonumber(z[13])
local due = tonumber(z[14])
if z[15] then
  capacity = math.min(capacity, tonumber(z[15])) -- a cut of capacity is under way (rule 3.8)
end

if quantity > per_reservation then
  return { "VALIDATION_ERROR", per_reservation }
end
if now < opens or (closes > 0 and now >= closes) then
  return { "SALE_CLOSED", opens, closes }
end
if seen_price ~= "" and tonumber(seen_price) ~= price * 10 ^ (4 - digits) then
  return { "PRICE_CHANGED", price, currency }
end
if call("XLEN", outbox) >= tonumber(ARGV[13]) then
  return { "SERVICE_UNAVAILABLE", "outbox_full" }
end

if capacity - confirmed - held < quantity and due and due <= now then
  reclaim_zone(name, RECLAIM_LIMIT)
  note_earliest(name)
  held = tonumber(call("HGET", zone, "held")) or 0
  due = tonumber(call("HGET", zone, "due"))
end
local available = capacity - confirmed - held
if available < quantity then
  return { "INSUFFICIENT_SEATS", math.max(0, available) }
end

local mine = user_key(event, user)
local function taken_by_user()
  local u = call("HMGET", mine, "held", "confirmed")
  local user_held = tonumber(u[1]) or 0
  return user_held + (tonumber(u[2]) or 0), user_held
end
local taken, user_held = taken_by_user()
if taken + quantity > per_user then
  local fields, ended = call("HGETALL", mine), 0
  for i = 1, #fields, 2 do
    local other = fields[i]
    if #other == 36 and tonumber(fields[i + 1]) <= now and ended < RECLAIM_LIMIT then
      local r = load_live(other)
      if r and r.state == "reserved" then
        finish(other, r, "expired", now)
        ended = ended + 1
      end
    end
  end
  taken, user_held = taken_by_user()
  held = tonumber(call("HGET", zone, "held")) or 0
end
if taken + quantity > per_user then
  return { "MAX_TICKETS_EXCEEDED", per_user, taken }
end

-- All is checked: from here on only writes. Lua does not roll back.
local r = {
  event = event, zone = ARGV[5], user = user, quantity = quantity, price = price, currency = currency,
  reserved_at = now, deadline = now + hold_ms, hold_until = now + hold_max_ms, version = 1, state = "reserved",
  pin = 0, pinned_at = 0, payment = "", key = ARGV[10], fingerprint = ARGV[11],
  at = now,
}
call("HSET", mine, "held", user_held + quantity, booking, r.deadline)
call("SET", reservation_key(booking), pack(r))
call("ZADD", deadlines_key(name), r.deadline, booking .. ":" .. quantity)
if not due or r.deadline < due then
  call("HSET", zone, "held", held + quantity, "due", r.deadline)
  call("ZADD", due_key, r.deadline, name)
else
  call("HSET", zone, "held", held + quantity)
end
if digest ~= "" then
  remember(digest, ARGV[12], ARGV[11], booking, r, now)
end
tell("created", booking, r, now)
return { "OK", booking, price, currency, now, r.deadline, now }
