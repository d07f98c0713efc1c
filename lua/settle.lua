#!lua flags=allow-oom
-- settle: closes in Redis what Postgres has decided, and learns the facts, in one script (rule 3.4).
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id> <layout>"
-- ARGV[2] now, ms; "" for Redis' own clock
-- ARGV[3] JSON {confirmed: [booking], ended: {booking: released | expired}, zones: [facts], users: [facts]}
--
-- OK dropped (holds that were still there)
-- SERVICE_UNAVAILABLE closed

-- include: shard keys indexes text reservation counts deadlines user outbox ending zone facts
local decided = cjson.decode(ARGV[3])
local dropped = 0

-- A hold goes only once: what was settled, has ended, or was never known here is passed over.
local function drop_live(id)
  local booking = bytes_of(id)
  local r = load(booking)
  if not r or (r.state ~= "reserved" and r.state ~= "pinned") then
    return nil
  end
  drop(booking, r)
  dropped = dropped + 1
  return booking, r
end

for _, id in ipairs(decided.confirmed) do
  local booking = drop_live(id)
  if booking then
    call("DEL", reservation_key(booking)) -- Postgres has it for good
  end
end
for id, state in pairs(decided.ended) do
  local booking, r = drop_live(id)
  if booking then
    bury(booking, r, state, now) -- Postgres has recorded and will tell it: no entry in the outbox
  end
end
learn(decided.zones, decided.users)
return { "OK", dropped }
