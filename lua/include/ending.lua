-- The end of a live reservation: whoever removes it is the one who lowers `held`, in the same script (rule 3.5).
-- Expects: call, keys.lua, reservation.lua, outbox.lua.

-- What has ended stays readable for an hour, so that GET and the reason of a 404 are right before Postgres has recorded it.
local ENDED_MS = 3600 * 1000

-- Takes the hold off the user.
local function drop_from_user(booking, r)
  local user = user_key(r.event, r.user)
  local known = call("HMGET", user, "held", "version")
  local held = (tonumber(known[1]) or 0) - r.quantity
  if held <= 0 and not known[2] then
    call("DEL", user) -- nothing left to know of this user
  else
    call("HDEL", user, booking)
    call("HSET", user, "held", held)
  end
end

-- Takes the hold off the zone and the user, and the reservation out of every index.
local function drop(booking, r)
  local zone = zone_name(r.event, r.zone)
  call("HINCRBY", zone_key(zone), "held", -r.quantity)
  call("ZREM", deadlines_key(zone), booking .. ":" .. r.quantity)
  if r.state == "pinned" then
    call("ZREM", pins_key, booking)
  end
  drop_from_user(booking, r)
end

-- Remembers how it ended; a TTL is only a broom for what has ended. Answers it packed.
local function bury(booking, r, state, at)
  r.state, r.at = state, at
  local packed = pack(r)
  call("SET", reservation_key(booking), packed, "PX", ENDED_MS)
  return packed
end

-- Ends a reservation that Redis owns (not pinned) and tells it.
local function finish(booking, r, state, at)
  drop(booking, r)
  r.version = r.version + 1
  tell(state, booking, bury(booking, r, state, at))
end
