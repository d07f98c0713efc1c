-- The head of every script that runs on an open shard: closed shards refuse (rule 3.6), keys get their names, time is Redis' own.
--
-- A shard sells only while all agree that the caller and the epoch key say, "<epoch> <run_id> <layout>": the epoch, the
-- server that the shard was installed on, and the form of what is kept there (`app/stores/keys.py`); and no freeze stands.
local call = redis.call
local tag = string.match(KEYS[1], "^{%d+}")
local head = call("MGET", KEYS[1], tag .. ":freeze")
if head[1] ~= ARGV[1] or head[2] then
  return { "SERVICE_UNAVAILABLE", "closed" }
end

local epoch = string.match(ARGV[1], "^%d+")

local now = tonumber(ARGV[2])
if not now then
  local time = call("TIME")
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
