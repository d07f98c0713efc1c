#!lua
-- reserve: seats are held until a deadline, once per idempotency key, never more than there are.
--
-- KEYS[1]  {NN}:epoch
-- ARGV[1]  "<epoch> <run_id> <layout>"
-- ARGV[2]  now, ms; "" for Redis' own clock
-- ARGV[3]  booking id, fresh, 16 bytes
-- ARGV[4]  event id
-- ARGV[5]  zone id
-- ARGV[6]  user id
-- ARGV[7]  quantity, seats
-- ARGV[8]  the price that the client saw, ten-thousandths of the currency; "" if it names none
-- ARGV[9]  digest of (event, user, verb, idempotency key), 8 bytes; "" without a key
-- ARGV[10] idempotency key
-- ARGV[11] fingerprint of the payload, 16 bytes; "" without a key
-- ARGV[12] how long a key is kept, ms
-- ARGV[13] OUTBOX_MAX, entries
--
-- OK price currency reserved_at deadline now
-- REPLAYED price currency reserved_at deadline now booking
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
local open, told_now, booking, event, zone_id, user, seats, seen_price, digest, key, fingerprint, kept_ms, outbox_max =
  unpack(ARGV)
local tag, epoch = string.match(KEYS[1], "^{%d+}"), string.match(open, "^%d+")
-- include: keys
local head = call("MGET", KEYS[1], tag .. ":freeze", idempotency_key(event, user, digest))
if head[1] ~= open or head[2] then
  return { "SERVICE_UNAVAILABLE", "closed" }
end
local now, quantity = tonumber(told_now), tonumber(seats)
if not now then
  local time = call("TIME")
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The first answer again: the reservation itself, while it lives, then the record that its end has left.
local mine = user_key(event, user)
local u = call("HMGET", mine, "held", "confirmed", digest)
if digest ~= "" and u[3] then
-- include: text reservation
  local r = load_live(u[3])
  if not r then
    return { "SERVICE_UNAVAILABLE", "closed" }
  end
  if now - r.reserved_at < tonumber(kept_ms) then
    if r.fingerprint ~= fingerprint then
      return { "IDEMPOTENCY_KEY_REUSED" }
    end
    return { "REPLAYED", r.price, r.currency, r.reserved_at, r.promised, now, text_of(u[3]) }
  end
end
if head[3] then
-- include: text
  local first_fingerprint, first, price, currency, reserved_at, deadline = unpack(cmsgpack.unpack(head[3]))
  if now - reserved_at < tonumber(kept_ms) then
    if first_fingerprint ~= fingerprint then
      return { "IDEMPOTENCY_KEY_REUSED" }
    end
    return { "REPLAYED", price, currency, reserved_at, deadline, now, text_of(first) }
  end
end

local name = zone_name(event, zone_id)
local zone = zone_key(name)
local z = call("HMGET", zone, "facts", "held", "due", "ceiling")
if not z[1] then
-- include: text reservation
  if call("EXISTS", deadlines_key(name)) == 1 then
    forget(name)
    return { "SERVICE_UNAVAILABLE", "closed" }
  end
  return { "ZONE_NOT_FOUND" }
end
-- In the order of lua/include/zone.lua.
local _, capacity, confirmed, price, currency, digits, opens, closes, hold_ms, hold_max_ms, per_user, per_reservation =
  unpack(cmsgpack.unpack(z[1]))
local held, due = tonumber(z[2] or 0), tonumber(z[3])
local RECLAIM_LIMIT = 100 -- bounds the work of one call; the next call goes on

if z[4] then
  capacity = math.min(capacity, tonumber(z[4])) -- a cut of capacity is under way (rule 3.8)
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
if call("XLEN", outbox) >= tonumber(outbox_max) then
  return { "SERVICE_UNAVAILABLE", "outbox_full" }
end

-- What is due may refuse nobody: that zone's, then that user's own.
local available = capacity - confirmed - held
if available < quantity and due and due <= now then
-- include: indexes text reservation outbox ending reclaim
  reclaim_zone(name, RECLAIM_LIMIT)
  note_earliest(name)
  held = tonumber(call("HGET", zone, "held") or 0)
  due = tonumber(call("HGET", zone, "due"))
  u = call("HMGET", mine, "held", "confirmed", digest)
  available = capacity - confirmed - held
end
if available < quantity then
  return { "INSUFFICIENT_SEATS", math.max(0, available) }
end
local user_held, user_confirmed = tonumber(u[1] or 0), tonumber(u[2] or 0)
if user_held + user_confirmed + quantity > per_user and user_held > 0 then
-- include: indexes text reservation outbox ending
  local fields, ended = call("HGETALL", mine), 0
  for i = 1, #fields, 2 do
    local other = ended < RECLAIM_LIMIT and booking_in(fields[i], fields[i + 1])
    local r = other and load_live(other)
    if r and r.state == "reserved" and r.deadline <= now then
      finish(other, r, "expired", now)
      ended = ended + 1
    end
  end
  held = tonumber(call("HGET", zone, "held") or 0)
  u = call("HMGET", mine, "held", "confirmed", digest)
  user_held = tonumber(u[1] or 0)
end
if user_held + user_confirmed + quantity > per_user then
  return { "MAX_TICKETS_EXCEEDED", per_user, user_held + user_confirmed }
end

-- All is checked: from here on only writes. Lua does not roll back. The order is that of lua/include/reservation.lua.
local deadline = now + hold_ms
local packed = cmsgpack.pack({
  event, zone_id, user, quantity, price + 0, currency, now, hold_ms, hold_max_ms, 1, key, fingerprint, digest,
})
if digest == "" then
  call("HSET", mine, "held", user_held + quantity, booking, "")
elseif u[3] then
  call("HSET", mine, "held", user_held + quantity, digest, booking, u[3], "") -- after a day the key is another's
else
  call("HSET", mine, "held", user_held + quantity, digest, booking)
end
call("SET", reservation_key(booking), packed)
call("ZADD", deadlines_key(name), deadline, booking .. seats)
if not due or deadline < due then
-- include: indexes
  call("HSET", zone, "held", held + quantity, "due", deadline)
  call("ZADD", due_key, deadline, name)
else
  call("HSET", zone, "held", held + quantity)
end
call("XADD", outbox, epoch .. "-*", "created", booking .. packed)
return { "OK", price, currency, now, deadline, now }
