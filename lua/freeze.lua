#!lua flags=allow-oom
-- freeze: stops a shard for its rebuild; whatever it holds, nothing sells until a flip with the same token (rule 3.7).
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] token, random: a later rebuilder's freeze takes the shard away from an earlier one
--
-- OK
local tag = string.match(KEYS[1], "^{%d+}")
redis.call("SET", tag .. ":freeze", ARGV[1])
return { "OK" }
