-- A reservation at rest is one packed array: a hash would cost three times its memory.
-- Expects: call, tag, keys.lua.
local FIELDS = {
  "event", "zone", "user", "quantity", "price", "currency", "reserved_at", "deadline", "hold_until", "version",
  "state", "pin", "pinned_at", "payment", "key", "fingerprint", "at",
}

local function pack(r)
  local values = {}
  for i, name in ipairs(FIELDS) do
    values[i] = r[name]
  end
  return cmsgpack.pack(values)
end

local function load(booking)
  local packed = call("GET", reservation_key(booking))
  if not packed then
    return nil
  end
  local r = {}
  for i, value in ipairs(cmsgpack.unpack(packed)) do
    r[FIELDS[i]] = value
  end
  return r
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
