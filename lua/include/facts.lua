-- Postgres' counts travel as facts with a version: the newest wins, so duplicates and reordering change nothing (rule 3.4).
-- Expects: call, keys.lua, indexes.lua, reservation.lua, zone.lua, counts.lua, user.lua.

-- Of a sandbox event that is gone the log may still tell.
local function is_purged(event)
  return call("SISMEMBER", purged_key, event) == 1
end

local function learn_zone(fact)
  local name = zone_name(fact.event_id, fact.zone_id)
  local known = unpack_zone(call("GET", zone_key(name)))
  if known and known.version >= fact.version then
    return
  end
  if not known and is_purged(fact.event_id) then
    return
  end
  call("SET", zone_key(name), pack_zone(fact))
  if not known then
    if call("EXISTS", counts_key(name), deadlines_key(name)) > 0 then
      forget(name) -- its seats are held, and nobody knows how many: not to be sold again
    end
    save_counts(name, no_counts())
    return
  end
  -- A ceiling stands until Postgres has committed or voided its number (rule 3.8).
  local counts = load_counts(name)
  if counts.ceiling_number > 0 and counts.ceiling_number <= fact.ceiling_done then
    counts.ceiling, counts.ceiling_number = 0, 0
    save_counts(name, counts)
    call("ZREM", ceilings_key, name)
  end
end

-- `users`: those that are loaded already, as a list and by key.
local function learn_user(fact, users)
  local key = user_key(fact.event_id, fact.user_id)
  local u = users[key] or load_user(fact.event_id, fact.user_id)
  if u.version >= fact.version then
    return
  end
  if u.version > 0 or not is_purged(fact.event_id) then
    u.confirmed, u.version = fact.confirmed, fact.version
    if not users[key] then
      users[key], users[#users + 1] = u, u
    end
  end
end

-- `known`: users that the caller has changed; they are saved as well.
local function learn(zones, users, known)
  for _, fact in ipairs(zones) do
    learn_zone(fact)
  end
  for _, fact in ipairs(users) do
    learn_user(fact, known)
  end
  save_users(known)
end
