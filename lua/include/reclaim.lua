-- Ends what is due, in bounded steps, so that seats come back with every worker dead.
-- Expects: call, now, keys.lua, indexes.lua, reservation.lua, outbox.lua, ending.lua.
local AT_ONCE = 500 -- more keys than this in one call would not fit on Lua's stack

-- Ends up to `limit` reservations of the zone whose deadline has passed; answers how many. Reservations of one zone are
-- read in one call, and what they have in common is written once: `finish` for each costs twice as much.
local function reclaim_zone(zone, limit)
  local due = call("ZRANGEBYSCORE", deadlines_key(zone), "-inf", now, "LIMIT", 0, math.min(limit, AT_ONCE))
  if #due == 0 then
    return 0
  end
  local keys, gone, seats = {}, {}, 0
  for i, member in ipairs(due) do
    keys[i] = reservation_key(string.sub(member, 1, 16))
  end
  for i, packed in ipairs(call("MGET", unpack(keys))) do
    local booking = string.sub(due[i], 1, 16)
    if packed then
      local r = unpack_reservation(packed)
      gone[#gone + 1], seats = due[i], seats + r.quantity
      drop_from_user(booking, r)
      r.version = r.version + 1
      tell("expired", booking, bury(booking, r, "expired", now))
    else
      forget(text_of(booking))
    end
  end
  if gone[1] then
    call("HINCRBY", zone_key(zone), "held", -seats)
    call("ZREM", deadlines_key(zone), unpack(gone))
  end
  return #due
end

-- Notes the zone's earliest deadline after a sweep: the zone's own field spares reserve a look at the index.
local function note_earliest(zone)
  local first = call("ZRANGE", deadlines_key(zone), 0, 0, "WITHSCORES")
  if first[2] then
    call("HSET", zone_key(zone), "due", first[2])
    call("ZADD", due_key, first[2], zone)
  else
    call("HDEL", zone_key(zone), "due")
    call("ZREM", due_key, zone)
  end
end
