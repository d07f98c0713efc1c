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

-- Its head is that of lua/include/shard.lua, with all that it reads in the same look, and all that is a string is written
-- in one call; what is rarely needed is read where it is needed. All because this script runs most of all:
-- bench/scripts.py tells what it costs.
local call = redis.call
local open, told_now, booking, event, zone_id, user, seats, seen_price, digest, key, fingerprint, kept_ms, outbox_max =
  unpack(ARGV)
local tag, epoch = string.match(KEYS[1], "^{%d+}"), string.match(open, "^%d+")
-- include: keys
local name, mine = zone_name(event, zone_id), user_key(event, user)
local zone, counts = zone_key(name), counts_key(name)
local head = call("MGET", KEYS[1], tag .. ":freeze", zone, counts, mine, idempotency_key(event, user, digest))
if head[1] ~= open or head[2] then
  return { "SERVICE_UNAVAILABLE", "closed" }
end
local now, quantity = tonumber(told_now), tonumber(seats)
if not now then
  local time = call("TIME")
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The first answer again: the reservation itself, while it lives, then the record that its end has left.
local u, user_held, user_confirmed = nil, 0, 0 -- of a fresh buyer, as most are, nothing is known
if head[5] then
-- include: user
  u = unpack_user(event, user, head[5])
  user_held, user_confirmed = u.held, u.confirmed
  local first = digest ~= "" and booking_under(u, digest)
  if first then
-- include: text reservation
    local r = load_live(first)
    if not r then
      return { "SERVICE_UNAVAILABLE", "closed" }
    end
    if now - r.reserved_at < tonumber(kept_ms) then
      if r.fingerprint ~= fingerprint then
        return { "IDEMPOTENCY_KEY_REUSED" }
      end
      return { "REPLAYED", r.price, r.currency, r.reserved_at, r.promised, now, text_of(first) }
    end
  end
end
if head[6] then
-- include: text
  local first_fingerprint, first, price, currency, reserved_at, deadline = unpack(cmsgpack.unpack(head[6]))
  if now - reserved_at < tonumber(kept_ms) then
    if first_fingerprint ~= fingerprint then
      return { "IDEMPOTENCY_KEY_REUSED" }
    end
    return { "REPLAYED", price, currency, reserved_at, deadline, now, text_of(first) }
  end
end

if not head[3] or not head[4] then
-- include: text reservation
  if head[3] or call("EXISTS", counts, deadlines_key(name)) > 0 then
    forget(name)
    return { "SERVICE_UNAVAILABLE", "closed" }
  end
  return { "ZONE_NOT_FOUND" }
end
-- In the order of lua/include/zone.lua and counts.lua.
local _, capacity, confirmed, price, currency, digits, opens, closes, hold_ms, hold_max_ms, per_user, per_reservation =
  cmsgpack.unpack(head[3])
local held, due, ceiling, ceiling_number, put, low, seventh = cmsgpack.unpack(head[4])
assert(low and not seventh and per_reservation, "the facts or the counts of a zone are cut off, or something else")
local RECLAIM_LIMIT = 100 -- bounds the work of one call; the next call goes on

if ceiling_number > 0 then
  capacity = math.min(capacity, ceiling) -- a cut of capacity is under way (rule 3.8)
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
if available < quantity and due > 0 and due <= now then
-- include: indexes text reservation counts deadlines user outbox ending together reclaim
  local _, c = reclaim_zone(name, RECLAIM_LIMIT)
  held, due, put, low = c.held, c.due, c.put, c.low
  available = capacity - confirmed - held
  u = u and load_user(event, user)
  user_held = u and u.held or 0
end
if available < quantity then
  return { "INSUFFICIENT_SEATS", math.max(0, available) }
end
if user_held + user_confirmed + quantity > per_user and user_held > 0 then
-- include: indexes text reservation counts deadlines user outbox ending
  local ended = 0
  for _, other in ipairs(bookings_of(u)) do
    local r = ended < RECLAIM_LIMIT and load_live(other)
    if r and r.state == "reserved" and r.deadline <= now then
      finish(other, r, "expired", now)
      ended = ended + 1
    end
  end
  held = load_counts(name).held
  u = load_user(event, user)
  user_held = u.held
end
if user_held + user_confirmed + quantity > per_user then
  return { "MAX_TICKETS_EXCEEDED", per_user, user_held + user_confirmed }
end

-- All is checked: from here on only writes. Lua does not roll back. The order is that of lua/include/reservation.lua.
local deadline = now + hold_ms
local bucket = math.floor(put / BUCKET) % BUCKETS -- as lua/include/deadlines.lua has it
local packed = cmsgpack.pack({
  event, zone_id, user, quantity, price + 0, currency, now, hold_ms, hold_max_ms, 1, key, fingerprint, bucket,
})
local of_user
if u then
-- include: user
  u.held = user_held + quantity
  list(u, digest, booking)
  of_user = pack_user(u)
else
  of_user = cmsgpack.pack({ quantity, 0, 0 }) .. (digest ~= "" and digest or "\0\0\0\0\0\0\0\0") .. booking
end
if due == 0 or deadline < due then
-- include: indexes
  due = deadline
  call("ZADD", due_key, due, name)
end
if put % BUCKET == 0 or deadline < low then
  low = deadline
  call("ZADD", deadlines_key(name), "LT", deadline, bucket)
end
local of_zone = cmsgpack.pack(held + quantity, due, ceiling, ceiling_number, put + 1, low)
-- The user's first: Redis makes a value in what the argument of an earlier call had at the same place, if that was larger.
call("MSET", mine, of_user, reservation_key(booking), packed, counts, of_zone)
call("ZADD", bucket_key(name, bucket), deadline, booking .. seats)
call("XADD", outbox, epoch .. "-*", "created", booking .. packed)
return { "OK", price, currency, now, deadline, now }
