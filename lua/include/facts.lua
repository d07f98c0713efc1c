-- Postgres' counts travel as facts with a version: the newest wins, so duplicates and reordering change nothing (rule 3.4).
-- Expects: call, keys.lua, reservation.lua.
local ZONE_FACTS = {
  "capacity", "confirmed", "price", "currency", "digits", "opens", "closes", "hold_ms", "hold_max_ms", "per_user",
  "per_reservation", "version", "ceiling_done",
}

-- Of a sandbox event that is gone the log may still tell.
local function is_purged(event)
  return call("SISMEMBER", purged_key, event) == 1
end

local function learn_zone(fact)
  local name = zone_name(fact.event_id, fact.zone_id)
  local zone = zone_key(name)
  local known = call("HGET", zone, "version")
  if known and tonumber(known) >= fact.version then
    return
  end
  if not known and is_purged(fact.event_id) then
    return
  end
  if not known and call("EXISTS", deadlines_key(name)) == 1 then
    forget(name) -- its seats are held, and nobody knows how many: not to be sold again
  end
  local fields = {}
  for _, field in ipairs(ZONE_FACTS) do
    fields[#fields + 1] = field
    fields[#fields + 1] = fact[field]
  end
  call("HSET", zone, unpack(fields))
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
