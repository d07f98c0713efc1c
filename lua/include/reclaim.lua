-- Ends what is due, in bounded steps, so that seats come back with every worker dead.
-- Expects: call, now, keys.lua, indexes.lua, reservation.lua, counts.lua, deadlines.lua, user.lua, outbox.lua, ending.lua,
-- together.lua.

-- Ends these members of one bucket. `finish` for each costs twice as much. `counts`: the zone's; the caller saves them.
local function end_all(counts, bucket, members)
  local bookings, gone = {}, {}
  for i, member in ipairs(members) do
    bookings[i] = booking_of(member)
  end
  local found, missing = load_all(bookings)
  for _, booking in ipairs(missing) do
    forget(text_of(booking))
  end
  local users = load_users(found)
  for i, one in ipairs(found) do
    local booking, r = one[1], one[2]
    gone[i] = member_of(booking, r.quantity)
    drop(counts, users[user_key(r.event, r.user)], booking, r)
    r.version = r.version + 1
    tell("expired", booking, bury(booking, r, "expired", now))
  end
  if gone[1] then
    call("ZREM", bucket, unpack(gone))
    save_users(users)
  end
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
-- zone's own counts spare reserve a look at the index. Buckets that have been emptied lie in front: a sold-out zone has one for
-- each thirty confirmed. They count as looks, three microseconds each. Answers how many were due, and the counts.
local looks = 3000 -- of one run of the script, whatever the zones
local function reclaim_zone(zone, limit)
  local counts, ended = load_counts(zone), 0
  local numbers
  repeat -- what was looked at is due no more, unless `limit` is reached
    numbers = buckets_due(zone, math.min(100, looks))
    for _, number in ipairs(numbers) do
      if ended < limit then
        local bucket = bucket_key(zone, number)
        local due = call("ZRANGEBYSCORE", bucket, "-inf", now, "LIMIT", 0, math.min(limit - ended, AT_ONCE))
        if due[1] then
          end_all(counts, bucket, due)
        end
        ended, looks = ended + #due, looks - 1
        note_first(zone, counts, number)
      end
    end
  until not numbers[1] or ended >= limit or looks <= 0
  counts.due = tonumber(call("ZRANGE", deadlines_key(zone), 0, 0, "WITHSCORES")[2]) or 0
  save_counts(zone, counts)
  if counts.due > 0 then
    call("ZADD", due_key, counts.due, zone)
  else
    call("ZREM", due_key, zone)
  end
  return ended, counts
end
