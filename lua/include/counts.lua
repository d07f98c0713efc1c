-- What Redis itself counts of a zone is one packed array, written by every reserve. It is there from the zone's first facts
-- on: one without the other is amnesia.
-- Expects: call, keys.lua, indexes.lua, reservation.lua.

-- Seats held; then a time not later than the earliest deadline, ms, and the ceiling with its number (rule 3.8): 0 for none.
local function unpack_counts(packed)
  local v = cmsgpack.unpack(packed)
  return { held = v[1], due = v[2], ceiling = v[3], ceiling_number = v[4] }
end

local function load_counts(name)
  local packed = call("GET", counts_key(name))
  if not packed then
    forget(name)
    return { held = 0, due = 0, ceiling = 0, ceiling_number = 0 }
  end
  return unpack_counts(packed)
end

local function save_counts(name, c)
  call("SET", counts_key(name), cmsgpack.pack({ c.held, c.due, c.ceiling, c.ceiling_number }))
end

-- A reservation of the zone has this deadline.
local function note_due(name, deadline)
  local counts = load_counts(name)
  if counts.due == 0 or deadline < counts.due then
    counts.due = deadline
    save_counts(name, counts)
    call("ZADD", due_key, deadline, name)
  end
end
