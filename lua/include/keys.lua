-- The names of a shard's keys. Each but the outbox carries the epoch, so nothing of an older name space can show through
-- (rule 3.7).
-- "/" parts ids because no id may contain it; what a caller may choose freely stands last. What there is of every
-- reservation has a short name, and inside Redis a booking's id is its 16 bytes: a name of 31 bytes costs 32, one more 48.
-- Expects: tag, epoch.
local outbox = tag .. ":outbox" -- stream: a transition each
local space = tag .. ":" .. epoch .. ":"

local function zone_name(event, zone)
  return event .. "/" .. zone
end

local function zone_key(name) -- string: the facts of Postgres (zone.lua)
  return space .. "zone:" .. name
end

local function counts_key(name) -- string: Redis' own counts (counts.lua)
  return space .. "counts:" .. name
end

local function deadlines_key(name) -- sorted set: number of a bucket -> a time not later than its earliest deadline, ms
  return space .. "deadlines:" .. name
end

local BUCKET = 30 -- reservations in each: they fill a block of 896 bytes
local BUCKETS = 65536 -- then numbers begin anew, for three bytes are all they have; what is still there just gets fuller
local function bucket_key(name, number) -- sorted set: booking and quantity -> deadline, ms; what is pinned leaves it
  return space .. "deadlines:" .. name .. "/" .. number
end

local function user_key(event, user) -- string: user.lua
  return space .. "u:" .. event .. "/" .. user
end

local function reservation_key(booking) -- string: reservation.lua
  return space .. "r:" .. booking
end

local function idempotency_key(event, user, digest) -- string: idempotency.lua
  return space .. "k:" .. event .. "/" .. user .. "/" .. digest
end
