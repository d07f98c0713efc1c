#!lua flags=allow-oom
-- install: one chunk of a shard's image into the name space of the coming epoch; nobody reads there before the flip.
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] the freeze's token
-- ARGV[2] the coming epoch
-- ARGV[3] purged | zone | user | reservation | key: what the chunk is of, in this order
-- ARGV[4] JSON [...], as shard_image.sql writes them, 500 at most
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
-- include: keys indexes zone text reservation counts deadlines user facts idempotency
local rows = cjson.decode(ARGV[4])

local function short(digest)
  return from_hex(string.sub(digest, 1, 16))
end

local function append(words, first, second)
  words[#words + 1] = first
  words[#words + 1] = second
end

-- What belongs to one key is written in one call: a chunk has many reservations of few zones.
local ROW = {
  "event", "zone", "user", "quantity", "price", "currency", "reserved_at", "deadline", "hold_until", "version", "state",
  "pin", "pinned_at", "payment", "key", "fingerprint", "digest", "promised", "at", "booking",
}
local function install_reservations()
  local zones, users, at_rest = {}, {}, {}
  for _, row in ipairs(rows) do
    local r = {}
    for i, name in ipairs(ROW) do
      r[name] = row[i]
    end
    r.fingerprint = from_hex(r.fingerprint)
    local booking, name, key = bytes_of(r.booking), zone_name(r.event, r.zone), user_key(r.event, r.user)
    local counts, u = zones[name] or load_counts(name), users[key] or load_user(r.event, r.user)
    if not users[key] then
      users[key], users[#users + 1] = u, u
    end
    zones[name] = counts
    counts.held, u.held = counts.held + r.quantity, u.held + r.quantity
    list(u, short(r.digest), booking)
    r.bucket = filling(counts)
    if r.state == "pinned" then
      call("ZADD", pins_key, r.pinned_at, booking)
    else
      put_new(name, counts, r.deadline, booking, r.quantity)
      note_due(name, counts, r.deadline)
    end
    append(at_rest, reservation_key(booking), pack(r))
  end
  call("MSET", unpack(at_rest))
  save_users(users)
  for name, counts in pairs(zones) do
    save_counts(name, counts)
  end
end

if ARGV[3] == "purged" then
  call("SADD", purged_key, unpack(rows))
elseif ARGV[3] == "zone" then
  learn(rows, {}, {})
elseif ARGV[3] == "user" then
  learn({}, rows, {})
elseif ARGV[3] == "reservation" then
  install_reservations()
elseif ARGV[3] == "key" then
  for _, key in ipairs(rows) do
    -- That of an extend is the booking's id as a text.
    local fingerprint = #key.fingerprint == 32 and from_hex(key.fingerprint) or key.fingerprint
    remember(key, short(key.digest), key.keep_ms, fingerprint, bytes_of(key.booking), key.at)
  end
end
return { "OK" }
