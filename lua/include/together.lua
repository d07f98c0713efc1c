-- Many reservations at a time: what they are, and what is known of their users, is read in one call each.
-- Expects: call, keys.lua, reservation.lua, user.lua.
local AT_ONCE = 500 -- more keys than this in one call would not fit on Lua's stack

-- Of up to AT_ONCE bookings: {booking, reservation} each, and those that nobody knows.
local function load_all(bookings)
  local keys, found, missing = {}, {}, {}
  for i, booking in ipairs(bookings) do
    keys[i] = reservation_key(booking)
  end
  for i, packed in ipairs(keys[1] and call("MGET", unpack(keys)) or {}) do
    if packed then
      found[#found + 1] = { bookings[i], unpack_reservation(packed) }
    else
      missing[#missing + 1] = bookings[i]
    end
  end
  return found, missing
end

-- Their users, as a list and by key.
local function load_users(found)
  local keys, users = {}, {}
  for i, one in ipairs(found) do
    keys[i] = user_key(one[2].event, one[2].user)
  end
  for i, packed in ipairs(keys[1] and call("MGET", unpack(keys)) or {}) do
    if not users[keys[i]] then
      local u = unpack_user(found[i][2].event, found[i][2].user, packed)
      users[keys[i]], users[#users + 1] = u, u
    end
  end
  return users
end
