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

-- Its head is that of lua/include/shard.lua, with the idempotency record in the same look; what is rarely needed is read
-- where it is needed. Both because this script runs most of all: bench/scripts.py tells what it costs.
local call = redis.call
local tag, epoch = string.match(KEYS[1], "^{%d+}"), string.match(ARGV[1], "^%d+")
-- include: keys
local booking, event, user, quantity = ARGV[3], ARGV[4], ARGV[6], tonumber(ARGV[7])
local seen_price, digest = ARGV[8], ARGV[9]
local head = call("MGET", KEYS[1], tag .. ":freeze", idempotency_key(digest))
if head[1] ~= ARGV[1] or head[2] then
  return { "SERVICE_UNAVAILABLE", "closed" }
end
local now = tonumber(ARGV[2])
if not now then
  local time = call("TIME")
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local mine = user_key(event, user)
local u = call("HMGET", mine, "held", "confirmed", digest)

-- The first answer again, while the reservation lives; nil when the key may be used again.
local function replayed(first)
-- include: reservation
  local r = load_live(first)
  if not r then
    return { "SERVICE_UNAVAILABLE", "closed" }
  end
  if now - r.reserved_at >= tonumber(ARGV[12]) then
    return nil
  end
  if r.fingerprint ~= ARGV[11] then
    return { "IDEMPOTENCY_KEY_REUSED" }
  end
  return { "REPLAYED", first, r.price, r.currency, r.reserved_at, r.promised, now }
end

local known = digest ~= "" and u[3] and replayed(u[3])
if known then
  return known
end
if head[3] then
  local fingerprint, first, price, currency, reserved_at, deadline = unpack(cmsgpack.unpack(head[3]))
  if now - reserved_at < tonumber(ARGV[12]) then
    if fingerprint ~= ARGV[11] then
      return { "IDEMPOTENCY_KEY_REUSED" }
    end
    return { "REPLAYED", first, price, currency, reserved_at, deadline, now }
  end
end

local name = zone_name(event, ARGV[5])
local zone = zone_key(name)
local z = call(
  "HMGET", zone, "version", "capacity", "confirmed", "held", "price", "currency", "digits", "opens", "closes",
  "hold_ms", "hold_max_ms", "per_user", "per_reservation", "due", "ceiling"
)
local capacity, confirmed, held = tonumber(z[2]), tonumber(z[3]), tonumber(z[4] or 0)
local price, currency = tonumber(z[5]), z[6]
local opens, closes, due = tonumber(z[8]), tonumber(z[9]), tonumber(z[14])
local per_user, per_reservation = tonumber(z[12]), tonumber(z[13])
local RECLAIM_LIMIT = 100 -- bounds the work of one call; the next call goes on

-- What a first look calls impossible; each answers a refusal, or nil.
local function unknown_zone()
-- include: reservation
  if call("EXISTS", deadlines_key(name)) == 1 then
    forget(name)
    return { "SERVICE_UNAVAILABLE", "closed" }
  end
  return { "ZONE_NOT_FOUND" }
end

local function short_of_seats()
-- include: reservation outbox ending reclaim
  if due and due <= now then
    reclaim_zone(name, RECLAIM_LIMIT)
    note_earliest(name)
    held = tonumber(call("HGET", zone, "held") or 0)
    due = tonumber(call("HGET", zone, "due"))
    u = call("HMGET", mine, "held", "confirmed")
  end
  local available = capacity - confirmed - held
  if available < quantity then
    return { "INSUFFICIENT_SEATS", math.max(0, available) }
  end
  return nil
end

local function taken_by_user()
  local user_held = tonumber(u[1] or 0)
  return user_held + tonumber(u[2] or 0), user_held
end

local function end_users_due()
-- include: reservation outbox ending
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
  held = tonumber(call("HGET", zone, "held") or 0)
  u = call("HMGET", mine, "held", "confirmed")
end

if not z[1] then
  return unknown_zone()
end
assert(price, "the price is no number") -- of all others, what follows reckons with
if z[15] then
  capacity = math.min(capacity, tonumber(z[15])) -- a cut of capacity is under way (rule 3.8)
end
if quantity > per_reservation then
  return { "VALIDATION_ERROR", per_reservation }
end
if now < opens or (closes > 0 and now >= closes) then
  return { "SALE_CLOSED", opens, closes }
end
if seen_price ~= "" and tonumber(seen_price) ~= price * 10 ^ (4 - tonumber(z[7])) then
  return { "PRICE_CHANGED", price, currency }
end
if call("XLEN", outbox) >= tonumber(ARGV[13]) then
  return { "SERVICE_UNAVAILABLE", "outbox_full" }
end
local refused = capacity - confirmed - held < quantity and short_of_seats()
if refused then
  return refused
end
local taken, user_held = taken_by_user()
if taken + quantity > per_user then
  end_users_due()
  taken, user_held = taken_by_user()
end
if taken + quantity > per_user then
  return { "MAX_TICKETS_EXCEEDED", per_user, taken }
end

-- All is checked: from here on only writes. Lua does not roll back. The order is that of lua/include/reservation.lua.
local deadline = now + tonumber(z[10])
local packed = cmsgpack.pack({
  event, ARGV[5], user, quantity, price, currency, now, deadline, now + tonumber(z[11]), 1,
  "reserved", 0, 0, "", ARGV[10], ARGV[11], digest, digest == "" and 0 or deadline, now,
})
if digest == "" then
  call("HSET", mine, "held", user_held + quantity, booking, deadline)
else
  call("HSET", mine, "held", user_held + quantity, booking, deadline, digest, booking)
end
call("SET", reservation_key(booking), packed)
call("ZADD", deadlines_key(name), deadline, booking .. ":" .. quantity)
if not due or deadline < due then
  call("HSET", zone, "held", held + quantity, "due", deadline)
  call("ZADD", due_key, deadline, name)
else
  call("HSET", zone, "held", held + quantity)
end
call("XADD", outbox, epoch .. "-*", "created", booking .. packed)
return { "OK", booking, price, currency, now, deadline, now }
