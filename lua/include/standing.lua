-- Whether a reservation still stands, for whoever may act on it: its holder, before the deadline, and not while it is pinned.
-- Expects: now.

-- The refusal, nil where there is none.
local function refused(r, user)
  if not r or r.user ~= user then
    return { "RESERVATION_NOT_FOUND", "unknown" }
  end
  if r.state == "pinned" then
    return { "CONFIRMATION_IN_PROGRESS" }
  end
  if r.state ~= "reserved" then
    return { "RESERVATION_NOT_FOUND", r.state }
  end
  if r.deadline <= now then
    return { "RESERVATION_NOT_FOUND", "expired" } -- the sweeper, or the next reserve, ends it
  end
  return nil
end
