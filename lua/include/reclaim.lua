-- Ends what is due, in bounded steps, so that seats come back with every worker dead.
-- Expects: call, now, keys.lua, indexes.lua, reservation.lua, counts.lua, deadlines.lua, user.lua, outbox.lua, ending.lua.
local AT_ONCE = 500 -- more keys than this in one call would not fit on Lua's stack

-- What these members of one bucket are: {booking, reservation} each. What is missing has been forgotten.
local function load_all(members)
  local keys, found = {}, {}
  for i, member in ipairs(members) do
    keys[i] = reservation_key(booking_of(member))
  end
  for i, packed in ipairs(call("MGET", unpack(keys))) do
    local booking = booking_of(members[i])
    if packed then
      found[#found + 1] = { booking, unpack_reservation(packed) }
    else
      forget(text_of(booking))
    end
  end
  return found
end

-- What is known of the users of these, as a list and by key.
local function load_users(found)
  local keys, users = {}, {}
  for i, one in ipairs(found) do
    keys[i] = user_key(one[2].event, one[2].user)
  end
  for i, packed in ipairs(keys[1] and call("MGET", unpack(keys)) or {}) do
    if not users[keys[i]] then
      local u = unpack_user(found[i][2].event, found[i][2].user, packed)
      users[keys[i]], users[#users + 1] = u, u
    end
  end
  return users
end

-- Ends these members of one bucket: what they have in common is read, and written, in one call: `finish` for each costs twice
-- as much. Answers their seats.
local function end_all(bucket, members)
  local found, gone, seats = load_all(members), {}, 0
  local users = load_users(found)
  for i, one in ipairs(found) do
    local booking, r = one[1], one[2]
    gone[i], seats = member_of(booking, r.quantity), seats + r.quantity
    drop_from_user(users[user_key(r.event, r.user)], booking, r)
    r.version = r.version + 1
    tell("expired", booking, bury(booking, r, "expired", now))
  end
  if gone[1] then
    call("ZREM", bucket, unpack(gone))
    save_users(users)
  end
  return seats
end

-- What is due in a bucket has ended: the index has it under its earliest deadline from then on, or no more.
local function note_first(zone, counts, number)
  local first = tonumber(call("ZRANGE", bucket_key(zone, number), 0, 0, "WITHSCORES")[2])
  local is_filling = tonumber(number) == filling(counts)
  if first then
    call("ZADD", deadlines_key(zone), first, number)
    counts.low = is_filling and first or counts.low
  else
    call("ZREM", deadlines_key(zone), number)
    counts.put = is_filling and math.ceil(counts.put / BUCKET) * BUCKET or counts.put -- the next begins another
  end
end

-- Ends up to `limit` reservations of the zone whose deadline has passed, and notes its earliest deadline from then on: the
-- zone's own counts spare reserve a look at the index. Answers how many were due, and the counts.
local function reclaim_zone(zone, limit)
  local counts, ended = load_counts(zone), 0
  for _, number in ipairs(buckets_due(zone, limit)) do
    if ended < limit then
      local bucket = bucket_key(zone, number)
      local due = call("ZRANGEBYSCORE", bucket, "-inf", now, "LIMIT", 0, math.min(limit - ended, AT_ONCE))
      counts.held = counts.held - (due[1] and end_all(bucket, due) or 0)
      ended = ended + #due
      note_first(zone, counts, number)
    end
  end
  counts.due = tonumber(call("ZRANGE", deadlines_key(zone), 0, 0, "WITHSCORES")[2]) or 0
  save_counts(zone, counts)
  if counts.due > 0 then
    call("ZADD", due_key, counts.due, zone)
  else
    call("ZREM", due_key, zone)
  end
  return ended, counts
end
