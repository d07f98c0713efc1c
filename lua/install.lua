#!lua flags=allow-oom
-- install: one chunk of a shard's image into the name space of the coming epoch; nobody reads there before the flip.
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] the freeze's token
-- ARGV[2] the coming epoch
-- ARGV[3] JSON [{kind: zone | user | reservation | key, ...}], as shard_image.sql writes it
--
-- OK
-- SERVICE_UNAVAILABLE lost (another rebuilder has taken over, or Redis forgot again)

local call = redis.call
local tag = string.match(KEYS[1], "^{%d+}")
local epoch = ARGV[2]
if call("GET", tag .. ":freeze") ~= ARGV[1] then
  return { "SERVICE_UNAVAILABLE", "lost" }
end
local now = 0
-- include: keys reservation facts idempotency

local function install_reservation(r)
  local name = zone_name(r.event, r.zone)
  local user = user_key(r.event, r.user)
  call("HINCRBY", zone_key(name), "held", r.quantity)
  call("HINCRBY", user, "held", r.quantity)
  call("HSET", user, r.booking, r.deadline)
  if r.state == "pinned" then
    call("ZADD", pins_key, r.pinned_at, r.booking)
  else
    call("ZADD", deadlines_key(name), r.deadline, r.booking .. ":" .. r.quantity)
    call("ZADD", due_key, "LT", r.deadline, name)
    call("HSET", zone_key(name), "due", call("ZSCORE", due_key, name))
  end
  call("SET", reservation_key(r.booking), pack(r))
end

for _, row in ipairs(cjson.decode(ARGV[3])) do
  if row.kind == "zone" then
    learn_zone(row)
  elseif row.kind == "user" then
    learn_user(row)
  elseif row.kind == "reservation" then
    install_reservation(row)
  elseif row.kind == "key" then
    remember(row.digest, row.keep_ms, row.fingerprint, row.booking, row, row.at)
  end
end
return { "OK" }
