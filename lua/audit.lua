#!lua flags=allow-oom
-- audit: compares what a shard holds with itself, and with what Postgres knows of it. No script leaves a difference behind:
-- it is amnesia, and closes the shard (rules 3.5 and 3.7).
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id>"
-- ARGV[2] now, ms; "" for Redis' own clock
-- ARGV[3] highest seq that Postgres has recorded of this epoch
-- ARGV[4] JSON [zone name ...]: zones that Postgres has had for a while
--
-- OK done what: how many of the zones were looked at; what differs, "" if nothing
-- SERVICE_UNAVAILABLE closed

-- include: shard keys reservation
local highest, zones = tonumber(ARGV[3]), cjson.decode(ARGV[4])
-- Together some ten milliseconds a call:
local LOOKS = 500 -- reservations that it looks at, some microseconds each
local SUMS = 10000 -- quantities of one zone that it adds up, less than a microsecond each

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
      return { "OK", 0, "pinned " .. booking .. " is missing" }
    end
    local name = zone_name(r.event, r.zone)
    pinned[name] = (pinned[name] or 0) + r.quantity
  end
end

-- Which of the zone's reservations is missing: all are looked at, or some that change from call to call.
local function missing_of(name, count)
  local first = count > LOOKS and now % (count - LOOKS + 1) or 0
  for _, member in ipairs(call("ZRANGE", deadlines_key(name), first, first + LOOKS - 1)) do
    local booking = string.sub(member, 1, 36)
    local r = load(booking)
    if not r or call("HEXISTS", user_key(r.event, r.user), booking) == 0 then
      return booking .. (r and " is missing with its user" or " is missing")
    end
  end
  return nil
end

-- What is wrong with one zone, and how many reservations were looked at.
local function wrong_with(name)
  local z = call("HMGET", zone_key(name), "version", "held")
  if not z[1] then
    return "zone " .. name .. " is missing", 0
  end
  local held, count = tonumber(z[2]) or 0, call("ZCARD", deadlines_key(name))
  local wrong = missing_of(name, count)
  if not wrong and count <= SUMS and pins <= LOOKS then
    local seats = pinned[name] or 0
    for _, member in ipairs(call("ZRANGE", deadlines_key(name), 0, -1)) do
      seats = seats + tonumber(string.sub(member, 38))
    end
    wrong = held ~= seats and string.format("zone %s: held %d, reserved seats %d", name, held, seats)
  elseif not wrong then -- too many for one call, and a sum over several means nothing: each has a seat at least
    wrong = held < count and string.format("zone %s: held %d, reservations %d", name, held, count)
  end
  return wrong, math.min(count, LOOKS) + math.floor(math.min(count, SUMS) / 10)
end

if last_seq() < highest then
  forget("seq")
  return { "OK", 0, string.format("seq %d is behind %d", last_seq(), highest) }
end
local spent = pins
for i, name in ipairs(zones) do
  local wrong, cost = wrong_with(name)
  if wrong then
    forget(name)
    return { "OK", i, wrong }
  end
  spent = spent + cost
  if spent >= LOOKS then
    return { "OK", i, "" }
  end
end
return { "OK", #zones, "" }
