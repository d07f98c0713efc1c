-- What Redis itself counts of a zone is one packed row of values, written by every reserve. It is there from the zone's first facts
-- on: one without the other is amnesia.
-- Expects: call, keys.lua, indexes.lua, reservation.lua.

-- Seats held; a time not later than the earliest deadline, ms, and the ceiling with its number (rule 3.8), 0 for none; how
-- many reservations were put into buckets, and the time under which the index has the one that is filling (deadlines.lua).
local function unpack_counts(packed)
  local v = { cmsgpack.unpack(packed) }
  assert(#v == 6, "the counts of a zone are cut off, or something else")
  return { held = v[1], due = v[2], ceiling = v[3], ceiling_number = v[4], put = v[5], low = v[6] }
end

local function no_counts()
  return { held = 0, due = 0, ceiling = 0, ceiling_number = 0, put = 0, low = 0 }
end

-- `packed`: as they are stored.
local function counts_of(name, packed)
  if not packed then
    forget(name)
    return no_counts()
  end
  return unpack_counts(packed)
end

local function load_counts(name)
  return counts_of(name, call("GET", counts_key(name)))
end

local function save_counts(name, c)
  call("SET", counts_key(name), cmsgpack.pack(c.held, c.due, c.ceiling, c.ceiling_number, c.put, c.low))
end

-- Something of the zone is due then. Leaves it to the caller to save the counts.
local function note_due(name, counts, deadline)
  if counts.due == 0 or deadline < counts.due then
    counts.due = deadline
    call("ZADD", due_key, deadline, name)
  end
end
