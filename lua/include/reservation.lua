-- A reservation at rest is one packed array: a hash would cost three times its memory.
-- Expects: call, tag, keys.lua.
-- app/stores/outboxes.py reads the same order. `digest` names the key that it was reserved under, and `promised` is the
-- deadline that its first answer told; "" and 0 without a key.
local function pack(r)
  return cmsgpack.pack({
    r.event, r.zone, r.user, r.quantity, r.price, r.currency, r.reserved_at, r.deadline, r.hold_until, r.version,
    r.state, r.pin, r.pinned_at, r.payment, r.key, r.fingerprint, r.digest, r.promised, r.at,
  })
end

local function unpack_reservation(packed)
  local v = cmsgpack.unpack(packed)
  assert(type(v[19]) == "number", "no reservation")
  return {
    event = v[1], zone = v[2], user = v[3], quantity = v[4], price = v[5], currency = v[6], reserved_at = v[7],
    deadline = v[8], hold_until = v[9], version = v[10], state = v[11], pin = v[12], pinned_at = v[13], payment = v[14],
    key = v[15], fingerprint = v[16], digest = v[17], promised = v[18], at = v[19],
  }
end

local function load(booking)
  local packed = call("GET", reservation_key(booking))
  return packed and unpack_reservation(packed) or nil
end

-- Something is missing that no script leaves behind: Redis has forgotten it. The shard is closed, and whoever meets it
-- rebuilds it (rules 3.5 and 3.7).
local function forget(what)
  call("SET", tag .. ":freeze", "forgotten: " .. what)
end

-- A reservation that an index calls live.
local function load_live(booking)
  local r = load(booking)
  if not r then
    forget(booking)
  end
  return r
end

-- What a reply tells of a reservation, in this order (app/stores/reservations.py reads it).
local function facts(booking, r)
  return {
    booking, r.event, r.zone, r.user, r.quantity, r.price, r.currency, r.reserved_at, r.deadline, r.version,
    r.state, r.pin, r.payment, r.key, r.fingerprint, r.at,
  }
end
