-- Ends what is due, in bounded steps, so that seats come back with every worker dead.
-- Expects: call, now, keys.lua, indexes.lua, reservation.lua, counts.lua, user.lua, outbox.lua, ending.lua.
local AT_ONCE = 500 -- more keys than this in one call would not fit on Lua's stack

-- Ends these members of the index of one zone: read in one call, and what they have in common is written once: `finish` for
-- each costs twice as much. Answers those that are gone, and their seats.
local function end_all(due)
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
  return gone, seats
end

-- Ends up to `limit` reservations of the zone whose deadline has passed, and notes its earliest deadline from then on: the
-- zone's own counts spare reserve a look at the index. Answers how many were due, and the counts.
local function reclaim_zone(zone, limit)
  local deadlines, counts = deadlines_key(zone), load_counts(zone)
  local due = call("ZRANGEBYSCORE", deadlines, "-inf", now, "LIMIT", 0, math.min(limit, AT_ONCE))
  if due[1] then
    local gone, seats = end_all(due)
    counts.held = counts.held - seats
    if gone[1] then
      call("ZREM", deadlines, unpack(gone))
    end
  end
  counts.due = tonumber(call("ZRANGE", deadlines, 0, 0, "WITHSCORES")[2]) or 0
  save_counts(zone, counts)
  if counts.due > 0 then
    call("ZADD", due_key, counts.due, zone)
  else
    call("ZREM", due_key, zone)
  end
  return #due, counts
end
