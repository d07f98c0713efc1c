-- Ends what is due, in bounded steps, so that seats come back with every worker dead.
-- Expects: call, now, keys.lua, reservation.lua, ending.lua.
-- Ends up to `limit` reservations of the zone whose deadline has passed; answers how many.
local function reclaim_zone(zone, limit)
  local due = call("ZRANGEBYSCORE", deadlines_key(zone), "-inf", now, "LIMIT", 0, limit)
  for _, member in ipairs(due) do
    local booking = string.sub(member, 1, 36)
    local r = load_live(booking)
    if r then
      finish(booking, r, "expired", now)
    end
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
