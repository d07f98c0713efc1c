#!lua
-- limit: one more request of one client, admitted or not: a bucket of tokens that fills evenly (GCRA).
--
-- KEYS[1] {CLIENT}:limit, string: when the bucket is full again, µs
-- ARGV[1] now, µs; "" for Redis' own clock
-- ARGV[2] one token takes, µs
-- ARGV[3] burst: tokens of a full bucket
--
-- OK remaining full_in
-- RATE_LIMITED retry_in full_in
--
-- full_in and retry_in are µs from now. It belongs to no shard and to no epoch: it sells nothing, and what it forgets
-- costs nobody a seat. The key lives no longer than the bucket takes to fill: who stays away leaves nothing behind.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call("TIME")
  now = time[1] * 1000000 + time[2]
end
local token, burst = tonumber(ARGV[2]), tonumber(ARGV[3])

local full_at = math.max(tonumber(redis.call("GET", KEYS[1]) or 0) or 0, now)
local retry_in = full_at + token - burst * token - now
if retry_in > 0 then
  return { "RATE_LIMITED", retry_in, full_at - now }
end
full_at = full_at + token
local full_in = full_at - now
redis.call("SET", KEYS[1], string.format("%.0f", full_at), "PX", math.ceil(full_in / 1000))
return { "OK", math.floor((burst * token - full_in) / token), full_in }
