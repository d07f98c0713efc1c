#!lua flags=allow-oom
-- audit: compares what a shard holds with itself, and with what Postgres knows of it. No script leaves a difference behind:
-- it is amnesia, and closes the shard (rules 3.5 and 3.7).
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id> <layout>"
-- ARGV[2] now, ms; "" for Redis' own clock
-- ARGV[3] highest seq that Postgres has recorded of this epoch
-- ARGV[4] JSON [[zone name, version, capacity, confirmed, price] ...]: zones that Postgres has had for a while
--
-- OK done what {zone version ...}: how many of the zones were looked at; what differs, "" if nothing; and whose facts are
--    newer here than there: they may have changed since, which only another look at Postgres tells
-- SERVICE_UNAVAILABLE closed

-- include: shard keys indexes zone text reservation counts deadlines user
local highest, zones = tonumber(ARGV[3]), cjson.decode(ARGV[4])
-- Together some ten milliseconds a call:
local LOOKS = 500 -- reservations that it looks at, some microseconds each
local SUMS = 320 -- buckets of one zone whose quantities it adds up, some ten microseconds each
local CARDS = 10000 -- buckets of one zone whose reservations it counts, less than a microsecond each

-- The stream's ids only grow, whatever is trimmed: a shard that is behind its own record is older than it was.
local function last_seq()
  if call("EXISTS", outbox) == 0 then
    return 0
  end
  local told = call("XINFO", "STREAM", outbox)
  for i = 1, #told, 2 do
    if told[i] == "last-generated-id" then
      local of, number = string.match(told[i + 1], "^(%d+)-(%d+)$")
      return of == epoch and tonumber(number) or 0
    end
  end
end

local pinned, pins = {}, call("ZCARD", pins_key) -- zone -> seats, of pins that are there
if pins <= LOOKS then
  for _, booking in ipairs(call("ZRANGE", pins_key, 0, -1)) do
    local r = load_live(booking)
    if not r then
      return { "OK", 0, "pinned " .. text_of(booking) .. " is missing", {} }
    end
    local name = zone_name(r.event, r.zone)
    pinned[name] = (pinned[name] or 0) + r.quantity
  end
end

local spent, users = pins, {} -- users that were looked at

-- A user's seats, added up once a call.
local function wrong_with_user(u)
  local key = user_key(u.event, u.user)
  if users[key] or u.more > LOOKS then
    return nil
  end
  users[key] = true
  local seats = 0
  for _, booking in ipairs(bookings_of(u)) do
    local other = load(booking)
    seats, spent = seats + (other and other.quantity or 0), spent + 1
  end
  return u.held ~= seats and string.format("user %s/%s: held %d, reserved seats %d", u.event, u.user, u.held, seats)
end

local function is_with_user(booking, u)
  if entry_with(u.listed, 8, booking) then
    return true
  end
  return u.more > 0 and call("HEXISTS", more_key(u), booking) == 1
end

-- What is wrong with one bucket of the zone, which the index says has nothing due before `low`.
local function wrong_with_bucket(name, number, low)
  local members = call("ZRANGE", bucket_key(name, number), 0, -1, "WITHSCORES")
  for i = 1, #members, 2 do
    local booking = booking_of(members[i])
    local r = load(booking)
    local u = r and load_user(r.event, r.user)
    if not r or not is_with_user(booking, u) then
      return text_of(booking) .. (r and " is missing with its user" or " is missing")
    end
    local wrong = wrong_with_user(u)
    if wrong then
      return wrong
    end
  end
  spent = spent + #members / 2
  return members[2] and tonumber(members[2]) < low and "zone " .. name .. ": its earliest deadline is not known"
end

-- What is wrong with the zone's reservations: all are looked at, or some that change from call to call.
local function wrong_with_reservations(name, count)
  local window = math.ceil(LOOKS / BUCKET)
  local first = count > window and now % (count - window + 1) or 0
  local buckets = call("ZRANGE", deadlines_key(name), first, first + window - 1, "WITHSCORES")
  for i = 1, #buckets, 2 do
    local wrong = wrong_with_bucket(name, buckets[i], tonumber(buckets[i + 1]))
    if wrong then
      return wrong
    end
  end
  return nil
end

-- What is wrong with the indexes that the sweeper finds a zone by: without them its seats would never come back.
local function wrong_with_indexes(name, counts)
  local first = tonumber(call("ZRANGE", deadlines_key(name), 0, 0, "WITHSCORES")[2])
  local known = tonumber(call("ZSCORE", due_key, name))
  if first and not (known and known <= first and counts.due > 0 and counts.due <= first) then
    return "zone " .. name .. ": its earliest deadline is not known"
  end
  local lost = counts.ceiling_number > 0 and not call("ZSCORE", ceilings_key, name)
  return lost and "zone " .. name .. ": its ceiling is not known"
end

-- Whether `held` is the sum of all that is reserved. Too many for one call, and a sum over several means nothing: then each
-- has a seat at least.
local function wrong_with_held(name, held, count)
  local numbers = count <= CARDS and call("ZRANGE", deadlines_key(name), 0, -1) or {}
  if count > SUMS or pins > LOOKS then
    local reservations = 0
    for _, number in ipairs(numbers) do
      reservations = reservations + call("ZCARD", bucket_key(name, number))
    end
    spent = spent + LOOKS
    return held < reservations and string.format("zone %s: held %d, reservations %d", name, held, reservations)
  end
  local seats = pinned[name] or 0
  for _, number in ipairs(numbers) do
    for _, member in ipairs(call("ZRANGE", bucket_key(name, number), 0, -1)) do
      seats = seats + seats_of(member)
    end
  end
  spent = spent + 3 * count
  return held ~= seats and string.format("zone %s: held %d, reserved seats %d", name, held, seats)
end

-- Facts of the same version are the same; those that are newer here are noted.
local ahead = {}
local function wrong_with_facts(name, z, known)
  if z.version > known[2] then
    ahead[#ahead + 1] = name
    ahead[#ahead + 1] = z.version
  end
  local here = table.concat({ z.capacity, z.confirmed, z.price }, ", ")
  local there = table.concat({ known[3], known[4], known[5] }, ", ")
  if z.version == known[2] and here ~= there then
    return string.format("zone %s: capacity, confirmed and price are %s, not %s", name, here, there)
  end
  return nil
end

-- What is wrong with one zone.
local function wrong_with(known)
  local name = known[1]
  local z = call("MGET", zone_key(name), counts_key(name))
  local facts_here = unpack_zone(z[1])
  if not facts_here or not z[2] then
    return "zone " .. name .. " is missing"
  end
  local counts, count = unpack_counts(z[2]), call("ZCARD", deadlines_key(name))
  return wrong_with_facts(name, facts_here, known)
    or wrong_with_reservations(name, count)
    or wrong_with_indexes(name, counts)
    or wrong_with_held(name, counts.held, count)
end

if last_seq() < highest then
  forget("seq")
  return { "OK", 0, string.format("seq %d is behind %d", last_seq(), highest), {} }
end
for i, known in ipairs(zones) do
  local wrong = wrong_with(known)
  if wrong then
    forget(known[1])
    return { "OK", i, wrong, {} }
  end
  if spent >= LOOKS then
    return { "OK", i, "", ahead }
  end
end
return { "OK", #zones, "", ahead }
