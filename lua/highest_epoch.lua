#!lua flags=no-writes
-- highest_epoch: the highest epoch that this server has had of a shard, as far as it knows: the rebuild goes beyond it, where
-- Postgres was set back (rule 3.7). What is not as we write it has been put there by hand, and does not count.
--
-- KEYS[1] {NN}:epoch
--
-- OK <epoch, 0 where it knows of none>
local tag = string.match(KEYS[1], "^{%d+}")
local head = redis.pcall("GET", KEYS[1])
local epoch = type(head) == "string" and string.match(head, "^(%d+) ") or "0"

-- include: keys
local stream = redis.pcall("XINFO", "STREAM", outbox)
local last = "0"
for at = 1, #stream, 2 do
  if stream[at] == "last-generated-id" then
    last = string.match(stream[at + 1], "^%d+")
  end
end
local highest = 0
for _, known in ipairs({ epoch, last }) do
  if #known < 9 then -- a thousand rebuilds a day take three thousand years to come to so many
    highest = math.max(highest, tonumber(known))
  end
end
return { "OK", highest }
