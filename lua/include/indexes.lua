-- What the sweeper and the auditor find things by, one of each in a shard. reserve.lua rarely needs them.
-- Expects: space of keys.lua.
local due_key = space .. "due" -- sorted set: zone -> a time not later than its earliest deadline, ms
local pins_key = space .. "pins" -- sorted set: booking -> when it was pinned, ms
local ceilings_key = space .. "ceilings" -- sorted set: zone -> when its ceiling was set, ms
local purged_key = space .. "purged" -- set: events of which nothing is learned any more
