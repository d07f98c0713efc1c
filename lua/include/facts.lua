-- Postgres' counts travel as facts with a version: the newest wins, so duplicates and reordering change nothing (rule 3.4).
-- Expects: call, keys.lua, indexes.lua, reservation.lua, zone.lua.

-- Of a sandbox event that is gone the log may still tell.
local function is_purged(event)
  return call("SISMEMBER", purged_key, event) == 1
end

local function learn_zone(fact)
  local name = zone_name(fact.event_id, fact.zone_id)
  local zone = zone_key(name)
  local known = unpack_zone(call("HGET", zone, "facts"))
  if known and known.version >= fact.version then
    return
  end
  if not known and is_purged(fact.event_id) then
    return
  end
  if not known and call("EXISTS", deadlines_key(name)) == 1 then
    forget(name) -- its seats are held, and nobody knows how many: not to be sold again
  end
  call("HSET", zone, "facts", pack_zone(fact))
  -- A ceiling stands until Postgres has committed or voided its number (rule 3.8).
  local ceiling = call("HGET", zone, "ceiling_number")
  if ceiling and tonumber(ceiling) <= fact.ceiling_done then
    call("HDEL", zone, "ceiling_number", "ceiling")
    call("ZREM", ceilings_key, name)
  end
end

local function learn_user(fact)
  local user = user_key(fact.event_id, fact.user_id)
  local known = call("HGET", user, "version")
  if known and tonumber(known) >= fact.version then
    return
  end
  if known or not is_purged(fact.event_id) then
    call("HSET", user, "confirmed", fact.confirmed, "version", fact.version)
  end
end

local function learn(zones, users)
  for _, fact in ipairs(zones) do
    learn_zone(fact)
  end
  for _, fact in ipairs(users) do
    learn_user(fact)
  end
end
