-- What one user has of one event is one packed value, for every reserve reads and writes it: the seats held, those
-- confirmed and the version of that count (rule 3.4; 0 for none), then what is live, each in 24 bytes: the digest of its
-- key, eight zeros without one, and the booking. More than LISTED are in a hash beside, booking -> digest and digest ->
-- booking, and the fourth count tells how many: so no value grows without bound.
-- Expects: call, keys.lua.
local LISTED, ENTRY, NO_KEY = 16, 24, "\0\0\0\0\0\0\0\0"

-- `packed`: nil or false for a user of whom nothing is known.
local function unpack_user(event, user, packed)
  local u = { event = event, user = user, held = 0, confirmed = 0, version = 0, more = 0, listed = "" }
  if packed then
    local at, counts = cmsgpack.unpack_one(packed)
    u.held, u.confirmed, u.version, u.more = counts[1], counts[2], counts[3], counts[4] or 0
    u.listed = at > 0 and string.sub(packed, at + 1) or ""
  end
  return u
end

local function load_user(event, user)
  return unpack_user(event, user, call("GET", user_key(event, user)))
end

local function pack_user(u)
  return cmsgpack.pack({ u.held, u.confirmed, u.version, u.more > 0 and u.more or nil }) .. u.listed
end

local function more_key(u)
  return space .. "more:" .. u.event .. "/" .. u.user
end

local function save_users(users)
  local gone, kept = {}, {}
  for _, u in ipairs(users) do
    if u.held <= 0 and u.version == 0 then
      gone[#gone + 1] = user_key(u.event, u.user) -- nothing left to know
    else
      kept[#kept + 1] = user_key(u.event, u.user)
      kept[#kept + 1] = pack_user(u)
    end
  end
  if gone[1] then
    call("DEL", unpack(gone))
  end
  if kept[1] then
    call("MSET", unpack(kept))
  end
end

-- Where the entry stands that has these bytes at `from`; nil for none.
local function entry_with(listed, from, bytes)
  for at = 1, #listed, ENTRY do
    if string.sub(listed, at + from, at + from + #bytes - 1) == bytes then
      return at
    end
  end
  return nil
end

-- The live reservation under this digest.
local function booking_under(u, digest)
  local at = entry_with(u.listed, 0, digest)
  if at then
    return string.sub(u.listed, at + 8, at + 23)
  end
  return u.more > 0 and call("HGET", more_key(u), digest) or nil
end

-- Every live reservation.
local function bookings_of(u)
  local bookings, more = {}, u.more > 0 and call("HGETALL", more_key(u)) or {}
  for at = 1, #u.listed, ENTRY do
    bookings[#bookings + 1] = string.sub(u.listed, at + 8, at + 23)
  end
  for i = 1, #more, 2 do
    if #more[i] == 16 then
      bookings[#bookings + 1] = more[i]
    end
  end
  return bookings
end

-- Lists a reservation, under its digest if that is not "". After a day a key is another's: the first stays, without one.
local function list(u, digest, booking)
  local keyed = digest ~= ""
  local at = keyed and entry_with(u.listed, 0, digest)
  local first = keyed and not at and booking_under(u, digest)
  if at then
    u.listed = string.sub(u.listed, 1, at - 1) .. NO_KEY .. string.sub(u.listed, at + 8)
  elseif first then
    call("HDEL", more_key(u), digest)
    call("HSET", more_key(u), first, "")
  end
  if #u.listed < LISTED * ENTRY then
    u.listed = u.listed .. (keyed and digest or NO_KEY) .. booking
    return
  end
  u.more = u.more + call("HSET", more_key(u), booking, digest)
  if keyed then
    call("HSET", more_key(u), digest, booking)
  end
end

-- Answers the digest that it was listed under; nil for none, or when that was another's in the meantime.
local function unlist(u, booking)
  local at, digest = entry_with(u.listed, 8, booking), nil
  if at then
    digest = string.sub(u.listed, at, at + 7)
    u.listed = string.sub(u.listed, 1, at - 1) .. string.sub(u.listed, at + ENTRY)
  elseif u.more > 0 then
    digest = call("HGET", more_key(u), booking) or ""
    u.more = u.more - call("HDEL", more_key(u), booking)
    call("HDEL", more_key(u), digest)
  end
  return digest and digest ~= "" and digest ~= NO_KEY and digest or nil
end
