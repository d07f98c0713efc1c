-- One entry of the shard's outbox per transition, with all that Postgres needs to record it, whatever came before: its one
-- field is named by the kind of the transition and holds the booking's id and the reservation as it is at rest from then on.
-- The stream's ids are "<epoch>-<n>": they are the shard's `seq`, and only grow.
-- Expects: call, epoch, outbox.
-- `...`: further fields and values, for what only this kind of transition has.
local function tell(kind, booking, packed, ...)
  call("XADD", outbox, epoch .. "-*", kind, booking .. packed, ...)
end
