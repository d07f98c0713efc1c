#!lua flags=allow-oom
-- flip: the last step of a rebuild: the shard opens at its new epoch, installed under this server (rule 3.7).
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] the freeze's token
-- ARGV[2] "<epoch> <run_id> <layout>" to open with
--
-- OK
-- SERVICE_UNAVAILABLE lost (another rebuilder has taken over, or Redis forgot again)
local tag = string.match(KEYS[1], "^{%d+}")
if redis.call("GET", tag .. ":freeze") ~= ARGV[1] then
  return { "SERVICE_UNAVAILABLE", "lost" }
end
redis.call("SET", KEYS[1], ARGV[2])
redis.call("DEL", tag .. ":freeze")
return { "OK" }
