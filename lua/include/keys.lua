-- The names of a shard's keys. Each but the outbox carries the epoch, so nothing of an older name space can show through
-- (rule 3.7).
-- "/" parts ids because no id may contain it; what a caller may choose freely stands last.
-- Expects: tag, epoch.
local outbox = tag .. ":outbox" -- stream: a transition each
local space = tag .. ":" .. epoch .. ":"
local due_key = space .. "due" -- sorted set: zone -> a time not later than its earliest deadline, ms
local pins_key = space .. "pins" -- sorted set: booking -> when it was pinned, ms
local ceilings_key = space .. "ceilings" -- sorted set: zone -> when its ceiling was set, ms

local purged_key = space .. "purged" -- set: events of which nothing is learned any more

local function zone_name(event, zone)
  return event .. "/" .. zone
end

local function zone_key(name) -- hash: the facts of Postgres and `held`
  return space .. "zone:" .. name
end

local function deadlines_key(name) -- sorted set: "<booking>:<quantity>" -> deadline, ms; what is pinned leaves it
  return space .. "deadlines:" .. name
end

local function user_key(event, user) -- hash: held, confirmed, version; live reservations: booking -> deadline, ms; digest -> booking
  return space .. "user:" .. event .. "/" .. user
end

local function reservation_key(booking)
  return space .. "reservation:" .. booking
end

local function idempotency_key(digest)
  return space .. "idempotency:" .. digest
end
